"""The whole log of a job's last attempts: kept whatever becomes of them, and only its owner reads it."""

import gzip

import pytest
from django.urls import reverse

from training import engine_logs, execution, leases, leftovers, services
from training.models import Attempt, EngineLog, Status, TrainingJob

pytestmark = pytest.mark.django_db(transaction=True)
TALK = """
for n in range(2000):
    print('line', n, file=sys.stderr)
started(); step(1, 2.0); finished()
"""


def downloaded(client, job) -> str:
    answer = client.get(reverse("training:job-log-file", args=[job.pk]))
    assert answer.status_code == 200 and "attachment" in answer["Content-Disposition"]
    assert answer["Content-Type"].startswith("text/plain")
    return b"".join(answer).decode()


def test_the_page_and_the_api_offer_the_whole_log_and_not_only_its_end(job, engine_says, alice_client):
    engine_says(TALK)
    execution.execute_job(str(job.pk))
    job.refresh_from_db()
    assert job.status == Status.SUCCEEDED and "line 0\n" not in job.log_tail
    text = downloaded(alice_client, job)
    assert text.startswith("=== Attempt 1, from step 0, ") and "succeeded ===\nline 0\nline 1\n" in text
    assert text.count("line ") == 2000 and "line 1999\n" in text
    page = alice_client.get(reverse("training:job-detail", args=[job.pk]))
    assert reverse("training:job-log-file", args=[job.pk]) in page.content.decode()
    assert b"".join(alice_client.get(f"/api/v1/training/jobs/{job.pk}/log/")).decode() == text


def test_strangers_do_not_find_the_log(job, mallory_client, client):
    page, api = reverse("training:job-log-file", args=[job.pk]), f"/api/v1/training/jobs/{job.pk}/log/"
    assert [mallory_client.get(url).status_code for url in (page, api)] == [404, 404]
    assert client.get(api).status_code == 401 and client.get(page).status_code == 302


def test_a_child_that_is_killed_leaves_its_log_and_so_does_the_next(job, engine_says, alice_client, settings):
    settings.TRAINING_TRIES = 3
    engine_says("print('so close', file=sys.stderr); started(); import os; os.kill(os.getpid(), 9)")
    for _ in range(2):
        execution.execute_job(str(job.pk))
    text = downloaded(alice_client, job)
    assert text.count("so close") == 2 and text.index("=== Attempt 1,") < text.index("=== Attempt 2,")


def test_only_the_last_attempts_are_kept_and_they_go_with_the_job(job, tmp_path):
    log = tmp_path / "engine.log"
    for number in range(engine_logs.ATTEMPTS_KEPT + 2):
        attempt = leases.claim(str(job.pk), "w")
        log.write_text(f"attempt {number}")
        engine_logs.keep_log(attempt.pk, log)
        leases.give_back(attempt, why="Test.", reason="test", is_counted=False)
    text = b"".join(engine_logs.whole_log(job)).decode()
    assert EngineLog.objects.count() == engine_logs.ATTEMPTS_KEPT
    assert "attempt 6" in text and "attempt 2" in text and "attempt 1\n" not in text
    job.refresh_from_db()
    services.cancel_job(job=job)
    services.delete_job(job=job)
    assert EngineLog.objects.count() == 0
    engine_logs.keep_log(attempt.pk, log)  # by a worker that learns of it late
    assert EngineLog.objects.count() == 0


def test_of_a_very_long_log_the_beginning_and_the_end_are_kept(job, tmp_path, monkeypatch):
    monkeypatch.setattr(engine_logs, "HEAD_BYTES", 10)
    monkeypatch.setattr(engine_logs, "TAIL_BYTES", 20)
    log = tmp_path / "engine.log"
    log.write_bytes(b"b" * 10 + b"m" * 70 + b"e" * 20)
    attempt = leases.claim(str(job.pk), "w")
    engine_logs.keep_log(attempt.pk, log)
    kept = EngineLog.objects.get(attempt=attempt)
    text = gzip.decompress(kept.content)
    assert (
        kept.size_bytes == 100
        and text == b"b" * 10 + b"\n\n... 70 bytes are left out here ...\n\n" + b"e" * 20
    )


def test_a_log_that_is_away_stands_in_nobodys_way(job, tmp_path, caplog):
    attempt = leases.claim(str(job.pk), "w")
    engine_logs.keep_log(attempt.pk, tmp_path / "nothing.log")
    assert not EngineLog.objects.exists() and "is not kept" in caplog.text


def test_the_log_of_a_killed_worker_is_kept_when_the_next_one_clears_up(job, tmp_path):
    attempt = leases.claim(str(job.pk), "w")
    folder = tmp_path / f"{job.pk}-{attempt.token}-abc"
    folder.mkdir()
    (folder / "engine.log").write_text("last words")
    leftovers.clear_leftovers(tmp_path)
    assert folder.is_dir() and not EngineLog.objects.exists()
    leases.give_back(attempt, why="Its worker was killed.", reason="lost")
    leftovers.clear_leftovers(tmp_path)
    assert (
        not folder.exists()
        and gzip.decompress(EngineLog.objects.get(attempt=attempt).content) == b"last words"
    )


def test_of_an_attempt_at_work_the_last_lines_are_there(job):
    attempt = leases.claim(str(job.pk), "w")
    TrainingJob.objects.filter(pk=job.pk).update(log_tail="reading")
    job.refresh_from_db()
    text = b"".join(engine_logs.whole_log(job)).decode()
    assert "at work ===\n(its last lines so far)\nreading\n" in text and Attempt.objects.get() == attempt
