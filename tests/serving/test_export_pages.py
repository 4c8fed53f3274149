"""Pages and API of exports."""

from datetime import timedelta

import pytest
from celery import current_app
from django.urls import reverse
from django.utils import timezone

from apex.common import files
from serving.exports import leases, services
from serving.exports.engine import converters
from serving.exports.models import Export
from tests.serving.adapters import DEMO, write_adapter
from tests.serving.factories import make_adapter_row, make_base_model

pytestmark = pytest.mark.django_db
CONTENT = bytes(range(256)) * 40


@pytest.fixture
def coach(alice, settings, monkeypatch, tmp_path):
    settings.LLAMA_CPP_DIR = ""
    monkeypatch.setattr(current_app, "send_task", lambda *a, **k: None)
    return make_adapter_row(alice, make_base_model(DEMO), write_adapter(tmp_path / "adapter"))


@pytest.fixture
def done(coach):
    stored = files.put_bytes(CONTENT)
    return Export.objects.create(
        owner=coach.owner, adapter=coach, kind="merged", status="done", file_name="coach-merged.zip",
        sha256=stored.sha256, size_bytes=stored.size, files=[{"name": "a", "size": 1, "sha256": "0" * 64}],
    )  # fmt: skip


def content(answer) -> bytes:
    return b"".join(answer) if answer.streaming else answer.content


def test_one_press_begins_an_export_and_the_page_shows_it(alice_client, coach):
    page = reverse("serving:adapter-exports", args=[coach.pk])
    text = alice_client.get(page).content.decode()
    assert "For Ollama" in text and "vllm serve" in text and "APEX_LLAMA_CPP_DIR" in text
    answer = alice_client.post(reverse("serving:export-start", args=[coach.pk]), {"kind": "merged"})
    assert answer["Location"] == page and Export.objects.get().status == "queued"
    assert "Waiting" in alice_client.get(page).content.decode()
    part = alice_client.get(page, headers={"HX-Request": "true"}).content.decode()
    assert "Stop" in part and "every 2s" in part and "<html" not in part
    alice_client.post(reverse("serving:export-cancel", args=[Export.objects.get().pk]))
    after = alice_client.get(page).content.decode()
    assert "Nothing of it was kept" in after and "every 2s" not in after


def test_what_cannot_be_made_is_said_on_the_page(alice_client, coach):
    alice_client.post(reverse("serving:export-start", args=[coach.pk]), {"kind": "gguf"})
    text = alice_client.get(reverse("serving:adapter-exports", args=[coach.pk])).content.decode()
    assert "converters of llama.cpp are not on this machine" in text and not Export.objects.exists()


def test_the_list_shows_what_was_made_with_its_checksum(alice_client, done, mallory_client):
    text = alice_client.get(reverse("serving:export-list")).content.decode()
    assert done.sha256 in text and "Download" in text
    assert done.sha256 not in mallory_client.get(reverse("serving:export-list")).content.decode()


@pytest.mark.parametrize(
    ("asked", "status", "expected", "range_said"),
    [
        ("", 200, CONTENT, None),
        ("bytes=0-9", 206, CONTENT[:10], "bytes 0-9/10240"),
        ("bytes=10000-", 206, CONTENT[10000:], "bytes 10000-10239/10240"),
        ("bytes=-5", 206, CONTENT[-5:], "bytes 10235-10239/10240"),
        ("bytes=5-999999", 206, CONTENT[5:], "bytes 5-10239/10240"),
        ("bytes=10240-", 416, b"", "bytes */10240"),
        ("bytes=9-3", 416, b"", "bytes */10240"),
        ("rows=1-2", 200, CONTENT, None),
        ("bytes=-", 200, CONTENT, None),
    ],
)
def test_a_download_goes_on_where_it_broke_off(asked, status, expected, range_said, alice_client, done):
    url = reverse("serving:export-download", args=[done.pk])
    answer = alice_client.get(url, headers={"Range": asked} if asked else {})
    assert (answer.status_code, content(answer)) == (status, expected)
    assert answer.get("Content-Range") == range_said and answer["ETag"] == f'"{done.sha256}"'


def test_a_range_of_another_file_brings_the_whole(alice_client, done):
    url = reverse("serving:export-download", args=[done.pk])
    answer = alice_client.get(url, headers={"Range": "bytes=5-", "If-Range": '"another"'})
    assert (answer.status_code, content(answer)) == (200, CONTENT)


def test_a_file_that_has_expired_is_not_found(alice_client, done):
    Export.objects.update(status="expired", sha256="")
    assert alice_client.get(reverse("serving:export-download", args=[done.pk])).status_code == 404


def test_the_api_begins_lists_cancels_and_downloads(alice_client, coach, done):
    url = "/api/v1/exports/"
    made = alice_client.post(url, {"adapter": coach.model_id, "kind": "ollama"}, "application/json")
    assert made.status_code == 201, made.content
    key = made.json()["id"]
    assert alice_client.get(url).json()["count"] == 2
    assert alice_client.get(f"{url}{key}/").json()["status"] == "queued"
    assert alice_client.post(f"{url}{key}/cancel/").json()["status"] == "cancelled"
    assert alice_client.post(f"{url}{key}/cancel/").status_code == 409
    assert content(alice_client.get(f"{url}{done.pk}/download/")) == CONTENT
    assert alice_client.get(f"{url}{key}/download/").status_code == 404


def test_the_api_names_the_field_that_is_wrong_and_never_shows_a_token(alice_client, coach, settings):
    settings.HUB_ENDPOINT, settings.ALLOWED_HOSTS_OUT = "http://127.0.0.1:9", ["127.0.0.1:9"]
    body = {
        "adapter": str(coach.pk),
        "kind": "hub",
        "options": {"repo": "no-slash"},
        "token": "hf_secretsecret",
    }
    refused = alice_client.post("/api/v1/exports/", body, "application/json")
    assert (refused.status_code, refused.json()["error"]["field"]) == (400, "repo")
    body["options"]["repo"] = "alice/x"
    made = alice_client.post("/api/v1/exports/", body, "application/json")
    assert made.status_code == 201 and "hf_secret" not in made.content.decode()
    shown = alice_client.get(f"/api/v1/exports/{made.json()['id']}/").content.decode()
    assert "hf_secret" not in shown and "sealed" not in shown


def test_a_stranger_finds_nothing(mallory_client, coach, done):
    for name, key in (("adapter-exports", coach.pk), ("export-download", done.pk)):
        assert mallory_client.get(reverse(f"serving:{name}", args=[key])).status_code == 404
    for name, key in (("export-start", coach.pk), ("export-cancel", done.pk)):
        assert mallory_client.post(reverse(f"serving:{name}", args=[key])).status_code == 404
    assert mallory_client.get(f"/api/v1/exports/{done.pk}/").status_code == 404
    asked = mallory_client.post(
        "/api/v1/exports/", {"adapter": str(coach.pk), "kind": "merged"}, "application/json"
    )
    assert asked.status_code == 400


def test_an_export_is_deleted_after_a_word_more_and_its_file_goes(
    alice_client, mallory_client, done, coach, django_capture_on_commit_callbacks
):
    page, url = (
        reverse("serving:adapter-exports", args=[coach.pk]),
        reverse("serving:export-delete", args=[done.pk]),
    )
    text = alice_client.get(page).content.decode()
    assert f'data-opens="delete-{done.pk}"' in text and f'action="{url}"' in text and "Its file goes" in text
    assert alice_client.get(url).status_code == 405 and mallory_client.post(url).status_code == 404
    name = files.storage_name(done.sha256)
    with django_capture_on_commit_callbacks(execute=True):
        assert alice_client.post(url)["Location"] == page
    assert not Export.objects.exists() and not files.storage().exists(name)
    assert alice_client.get(reverse("serving:export-download", args=[done.pk])).status_code == 404


def test_the_api_deletes_also_what_is_being_made(alice_client, mallory_client, done, coach):
    one = f"/api/v1/exports/{done.pk}/"
    assert mallory_client.delete(one).status_code == 404
    assert alice_client.delete(one).status_code == 204 and alice_client.get(one).status_code == 404
    running = services.start_export(adapter=coach, kind="merged")
    claimed = leases.claim(str(running.pk))
    assert alice_client.delete(f"/api/v1/exports/{running.pk}/").status_code == 204
    # Its worker notices with its next beat, and writes nothing.
    assert not leases.hold(claimed) and not leases.finish(claimed, "done")
    assert not Export.objects.exists()


def test_a_gguf_is_made_in_the_type_that_was_chosen(alice_client, coach, settings, tmp_path):
    for name in (converters.MODEL, converters.ADAPTER):
        (tmp_path / name).write_text("")
    settings.LLAMA_CPP_DIR = str(tmp_path)
    text = alice_client.get(reverse("serving:adapter-exports", args=[coach.pk])).content.decode()
    assert text.count('value="q8_0"') == 2 and text.count('value="tq1_0"') == 1
    start = reverse("serving:export-start", args=[coach.pk])
    alice_client.post(start, {"kind": "gguf", "type": "tq2_0"})
    alice_client.post(start, {"kind": "adapter_gguf", "type": "tq2_0"})  # no such adapter can be made
    alice_client.post(start, {"kind": "adapter_gguf"})
    asked = {export.kind: export.options for export in Export.objects.all()}
    assert asked == {"gguf": {"type": "tq2_0"}, "adapter_gguf": {"type": "f16"}}


def test_the_page_of_a_training_leads_to_it(alice_client, coach):
    job = coach.job
    text = alice_client.get(reverse("training:job-detail", args=[job.pk])).content.decode()
    assert "Take it with you" in text and reverse("serving:adapter-exports", args=[coach.pk]) in text


def test_a_file_says_until_when_it_is_kept(alice_client, done):
    Export.objects.update(expires_at=timezone.now() + timedelta(days=7))
    text = alice_client.get(reverse("serving:export-list")).content.decode()
    assert "kept until" in text and done.sha256 in text and "10.0" in text
