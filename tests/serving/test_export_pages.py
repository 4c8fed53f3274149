"""Pages and API of exports."""

import pytest
from django.urls import reverse

from apex.common import files
from serving import export_leases
from serving.export_models import Export
from tests.serving.adapters import DEMO, write_adapter
from tests.serving.factories import make_adapter_row, make_base_model

pytestmark = pytest.mark.django_db
CONTENT = bytes(range(256)) * 40


@pytest.fixture
def coach(alice, settings, monkeypatch, tmp_path):
    settings.LLAMA_CPP_DIR = ""
    monkeypatch.setattr(export_leases.current_app, "send_task", lambda *a, **k: None)
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
