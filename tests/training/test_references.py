"""Learning from data that stays where it is: the rows go to the engine by a pipe, and only if they are the same."""

import json
import os
import threading
import time
from pathlib import Path

import pytest

from apex.common import files
from datasets_app import making, services
from datasets_app.leases import claim
from tests.common.servers import serving
from tests.datasets_app.files import chats
from training import execution
from training import services as training_services
from training.models import Attempt, Status, TrainingJob
from training.telling import estimate_job

pytestmark = pytest.mark.django_db(transaction=True)

READS = """
started()
rows = [json.loads(line) for line in open(run["rows_path"])]
step(1, 2.0)
finished()
import os
seen = {"rows": rows, "is_pipe": pathlib.Path(run["rows_path"]).is_fifo(), "run": run, "environment": dict(os.environ)}
(out / "adapter" / "rows.json").write_text(json.dumps(seen))
"""
# The adapter is packed once the child has ended, so what is written last is in it.


@pytest.fixture(autouse=True)
def own_storage(settings, tmp_path):
    settings.ALLOWED_HOSTS_OUT = ["127.0.0.1"]
    settings.STORAGES = {
        **settings.STORAGES,
        "artifacts": {
            "BACKEND": "django.core.files.storage.FileSystemStorage",
            "OPTIONS": {"location": tmp_path / "artifacts"},
        },
    }
    settings.ARTIFACT_CACHE = tmp_path / "cache"


@pytest.fixture
def server():
    with serving() as running:
        yield running


@pytest.fixture
def version(alice, server, sent, monkeypatch):
    """A reference to 60 chats on a server that wants a token."""
    monkeypatch.setattr("celery.current_app.send_task", lambda *a, **k: None)
    connection = services.create_connection(
        owner=alice, name="Home", kind="https", endpoint_url=server.url, credentials={"token": "s3cr3t-token"}
    )
    uri = server.gives("/letters.jsonl", chats(60).encode(), ETag='"first"')
    imported = services.refer(owner=alice, uri=uri, connection=connection)
    making.bring(str(imported.pk), claim(str(imported.pk)))
    imported.refresh_from_db()
    assert imported.version, imported.message
    return imported.version


def start(version, base_model) -> TrainingJob:
    return training_services.start_job(
        owner=version.owner, name="Coach", dataset_version=version, base_model=base_model
    )


def ended(job: TrainingJob) -> TrainingJob:
    execution.execute_job(str(job.pk))
    job.refresh_from_db()
    return job


def test_the_engine_reads_every_row_from_a_pipe_and_knows_no_credential(
    version, base_model, sent, engine_says, settings
):
    engine_says(READS)
    job = ended(start(version, base_model))
    assert job.status == Status.SUCCEEDED, job.message
    seen = json.loads((files.local_directory(job.adapter.directory_sha256) / "rows.json").read_text())
    assert seen["is_pipe"] and len(seen["rows"]) == 60
    sides = [row["split"] for row in seen["rows"]]
    assert (sides.count("train"), sides.count("held_out")) == (version.train_count, version.held_out_count)
    assert seen["run"]["lineage"]["dataset_sha256"] == version.reference.sha256
    assert "s3cr3t" not in json.dumps(seen)
    assert not list((Path(settings.DATA_DIR) / "work").glob(f"{job.pk}-*"))
    assert not [t for t in threading.enumerate() if t.name == "row-feed"]


def test_a_review_of_the_plan_measures_the_first_rows(version, base_model):
    found = estimate_job(version, base_model, None)
    assert found["rows"] == version.train_count and found["held_out_rows"] == version.held_out_count


def test_bytes_that_changed_are_refused_before_anything_is_queued(version, base_model, sent, server):
    server.gives("/letters.jsonl", chats(61).encode(), ETag='"second"')
    with pytest.raises(training_services.StartRefused) as refused:
        start(version, base_model)
    assert '"first"' in str(refused.value) and '"second"' in str(refused.value)
    assert refused.value.field == "dataset" and not TrainingJob.objects.exists()


def test_bytes_that_changed_while_the_job_waited_fail_it_with_both_marks(
    version, base_model, sent, server, engine_says
):
    engine_says(READS)
    job = start(version, base_model)
    server.gives("/letters.jsonl", chats(61).encode(), ETag='"second"')
    ended(job)
    assert (job.status, job.reason) == (Status.FAILED, "data_changed")
    assert '"first"' in job.message and '"second"' in job.message and "checked again" in job.advice
    assert not Attempt.objects.get(job=job).pid


def test_other_bytes_under_the_same_mark_never_reach_the_end_of_the_pipe(
    version, base_model, sent, server, engine_says
):
    """The engine waits for the end of its rows, and is ended before it comes."""
    engine_says(READS)
    job = start(version, base_model)
    other = chats(60).replace("Answer 59.", "Anzwer 59.").encode()
    server.gives("/letters.jsonl", other, ETag='"first"')
    ended(job)
    assert (job.status, job.reason) == (Status.FAILED, "data_changed") and "sha256" in job.message
    assert job.step == 0


def test_a_store_that_is_away_fails_the_job_with_its_words(version, base_model, sent, server, engine_says):
    engine_says(READS)
    job = start(version, base_model)
    del server.handlers["/letters.jsonl"]
    ended(job)
    assert (job.status, job.reason) == (Status.FAILED, "data_away")
    assert "nothing at this address" in job.message and "s3cr3t" not in job.message


@pytest.mark.parametrize(
    ("script", "status"),
    [
        ("say(event='failed', reason='bad_model', message='No.', advice='x'); sys.exit(1)", Status.FAILED),
        ("f = open(run['rows_path']); f.readline(); say(event='failed', reason='bad_data', message='No.'); sys.exit(1)",
         Status.FAILED),
        ("f = open(run['rows_path']); import os; os.kill(os.getpid(), 9)", Status.QUEUED),
    ],
)  # fmt: skip
def test_an_engine_that_leaves_early_leaves_no_feed_behind(
    version, base_model, sent, engine_says, script, status, server
):
    engine_says(script)
    began = time.monotonic()
    assert ended(start(version, base_model)).status == status
    assert time.monotonic() - began < 15
    assert not [t for t in threading.enumerate() if t.name == "row-feed"]


def test_cancelling_while_the_rows_still_come_ends_both(version, base_model, sent, server, engine_says):
    body = chats(60).encode()

    def slow(request):
        request.send_response(200)
        request.send_header("Content-Length", str(len(body)))
        request.send_header("ETag", '"first"')
        request.end_headers()
        request.wfile.write(body[:500])
        request.wfile.flush()
        time.sleep(20)

    engine_says(READS)
    job = start(version, base_model)
    gives = server.handlers["/letters.jsonl"]
    server.handlers["/letters.jsonl"] = lambda request: (
        gives(request) if request.headers.get("Range") else slow(request)
    )
    worker = threading.Thread(target=execution.execute_job, args=[str(job.pk)])
    worker.start()
    deadline = time.monotonic() + 15
    while not Attempt.objects.filter(job=job, pid__isnull=False).exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert training_services.cancel_job(job=TrainingJob.objects.get(pk=job.pk))
    worker.join(20)
    assert not worker.is_alive()
    job.refresh_from_db()
    assert job.status == Status.CANCELLED
    with pytest.raises(ProcessLookupError):
        os.kill(Attempt.objects.get(job=job).pid, 0)
