"""`/v1/files`: kept byte by byte, made datasets, listed in pages, and nobody else's."""

import json
from datetime import timedelta

import pytest
from django.utils import timezone

from apex.common import files as stored_files
from datasets_app import execution, making
from datasets_app import services as datasets
from datasets_app.models import Dataset, DatasetImport, DatasetVersion
from gateway import filing, sweeping
from gateway.models import ApiFile
from tests.gateway.openai_client import PAIRS, ROWS, Program, lines, whole
from tests.training.factories import make_version

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def alices(alice):
    return Program(alice)


@pytest.fixture
def mallorys(mallory):
    return Program(mallory)


def test_a_file_comes_back_as_it_was_and_is_a_dataset(alices, alice):
    content = lines(ROWS).replace(b"\n", b"\r\n")
    status, file = alices.send(content)
    assert status == 200, file
    assert file["id"].startswith("file-") and file["object"] == "file" and file["bytes"] == len(content)
    assert (file["filename"], file["purpose"], file["status"]) == ("train.jsonl", "fine-tune", "processed")
    assert "expires_at" not in file and "status_details" not in file
    assert alices.get(f"files/{file['id']}") == (200, file)
    assert alices.content(file["id"]) == content
    version = DatasetVersion.objects.for_user(alice).get()
    assert (version.dataset.name, version.row_count, version.kind) == ("train", 12, "chat")


def test_comparisons_in_openais_shape_are_a_dataset_of_preferences(alices, alice):
    assert alices.send(lines(PAIRS))[1]["status"] == "processed"
    assert DatasetVersion.objects.for_user(alice).get().kind == "preference"


def test_what_cannot_be_learned_from_says_so_and_stays_readable(alices):
    content = b'{"messages": [{"role": "user", "content": "q"}]}\nnot json\n'
    status, file = alices.send(content)
    assert (status, file["status"]) == (200, "error")
    assert "Line 1" in file["status_details"] or "Line 2" in file["status_details"]
    assert alices.content(file["id"]) == content
    assert not Dataset.objects.exists()


@pytest.mark.parametrize(
    ("purpose", "content", "fields", "param"),
    [
        ("banana", b"x", {}, "purpose"),
        ("fine-tune-results", b"x", {}, "purpose"),
        ("batch", b"", {}, "file"),
        ("batch", b"x", {"expires_after[anchor]": "created_at", "expires_after[seconds]": "10"},
         "expires_after.seconds"),
        ("batch", b"x", {"expires_after[seconds]": "4000"}, "expires_after.anchor"),
        ("batch", b"x", {"colour": "red"}, "colour"),
    ],
)  # fmt: skip
def test_a_bad_wish_is_refused_by_name(alices, purpose, content, fields, param):
    status, answer = alices.send(content, purpose=purpose, **fields)
    assert (status, answer["error"]["param"]) == (400, param)
    assert not ApiFile.objects.exists()


def test_a_body_that_is_no_form_is_refused(alices):
    status, answer = alices.post("files", {"purpose": "batch"})
    assert (status, answer["error"]["param"]) == (400, "file")
    broken = alices.client.post(
        "/v1/files", b"--x\r\nnonsense", content_type="multipart/form-data; boundary="
    )
    assert broken.status_code == 400 and broken.json()["error"]["type"] == "invalid_request_error"


def test_too_large_a_file_is_refused(alices, settings):
    settings.UPLOAD_LIMIT_BYTES = 100
    status, answer = alices.send(b"x" * 101, purpose="batch")
    assert (status, answer["error"]["code"]) == (413, "too_large")


def test_the_list_goes_in_pages_by_purpose_and_order(alices, mallorys):
    ids = [alices.send(b"%d" % i, purpose="batch", name=f"{i}.jsonl")[1]["id"] for i in range(3)]
    other = alices.send(b"y", purpose="user_data")[1]["id"]
    page = alices.get("files", limit=2)[1]
    assert [file["id"] for file in page["data"]] == [other, ids[2]]
    assert page["has_more"] and (page["first_id"], page["last_id"]) == (other, ids[2])
    rest = alices.get("files", limit=2, after=page["last_id"])[1]
    assert [file["id"] for file in rest["data"]] == [ids[1], ids[0]] and not rest["has_more"]
    assert [file["id"] for file in alices.get("files", purpose="batch", order="asc")[1]["data"]] == ids
    assert alices.get("files", purpose="b\x00")[1]["data"] == []
    assert mallorys.get("files")[1] == {
        "object": "list",
        "data": [],
        "first_id": "",
        "last_id": "",
        "has_more": False,
    }
    for query in (
        {"limit": "0"},
        {"limit": "many"},
        {"order": "up"},
        {"after": "file-nope"},
        {"limit": "-3"},
    ):
        status, answer = alices.get("files", **query)
        assert (status, answer["error"]["param"]) == (400, next(iter(query)))


def test_a_strangers_file_and_a_missing_one_are_the_same(alices, mallorys):
    mine = alices.send(lines(ROWS))[1]["id"]
    missing = "file-" + "0" * 32
    for act in (mallorys.get, mallorys.delete):
        answers = [act(f"files/{each}") for each in (mine, missing)]
        assert [status for status, _ in answers] == [404, 404]
        assert answers[0][1]["error"]["message"].replace(mine, "") == answers[1][1]["error"][
            "message"
        ].replace(missing, "")
    assert mallorys.client.get(f"/v1/files/{mine}/content").status_code == 404
    for odd in ("file-nope", "x", mine.upper(), mine + "0", "file-" + "é" * 32):
        assert alices.get(f"files/{odd}")[0] == 404
    assert mallorys.get("files", after=mine)[0] == 400


def test_a_token_needs_the_scope(alice):
    reader, writer = Program(alice, scopes=["read"]), Program(alice, scopes=["write"])
    assert reader.send(b"x", purpose="batch")[0] == 403
    assert writer.get("files")[0] == 403


def test_deleting_a_file_erases_what_was_made_of_it(alices, alice):
    file = alices.send(lines(ROWS))[1]
    sha256 = ApiFile.objects.get().sha256
    assert alices.delete(f"files/{file['id']}")[1] == {"id": file["id"], "object": "file", "deleted": True}
    assert alices.get(f"files/{file['id']}")[0] == 404
    assert not Dataset.objects.for_user(alice).exists()
    with pytest.raises(FileNotFoundError):
        stored_files.open_stored(sha256)


def test_the_same_bytes_sent_twice_are_one_dataset_until_both_are_gone(alices, alice):
    first, second = (alices.send(lines(ROWS))[1]["id"] for _ in range(2))
    assert first != second and Dataset.objects.for_user(alice).count() == 1
    alices.delete(f"files/{first}")
    assert alices.content(second) == lines(ROWS) and Dataset.objects.for_user(alice).count() == 1
    alices.delete(f"files/{second}")
    assert not Dataset.objects.for_user(alice).exists()


def test_a_dataset_that_is_erased_takes_its_file_with_it_but_no_other_one(alices, mallorys, alice):
    file = alices.send(lines(ROWS))[1]["id"]
    batch = mallorys.send(lines(ROWS), purpose="batch")[1]["id"]
    datasets.delete_dataset(dataset=Dataset.objects.for_user(alice).get())
    assert alices.get(f"files/{file}")[0] == 404
    assert mallorys.content(batch) == lines(ROWS)


def test_a_file_whose_dataset_left_only_a_mark_is_gone_with_its_bytes(alices, alice):
    file = alices.send(lines(ROWS))[1]["id"]
    row = ApiFile.objects.get()
    DatasetVersion.objects.filter(pk=row.version_id).update(erased_at=timezone.now())
    datasets.delete_unused_files({row.sha256})
    assert alices.get(f"files/{file}")[0] == 404
    with pytest.raises(FileNotFoundError):
        stored_files.open_stored(row.sha256)
    filing.delete_expired()
    assert not ApiFile.objects.exists()


def test_a_file_expires_and_its_bytes_go(alices):
    fields = {"expires_after[anchor]": "created_at", "expires_after[seconds]": "3600"}
    file = alices.send(b"soon gone", purpose="batch", **fields)[1]
    assert file["expires_at"] - file["created_at"] == 3600
    sha256 = ApiFile.objects.get().sha256
    ApiFile.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert alices.get(f"files/{file['id']}")[0] == 404 and alices.get("files")[1]["data"] == []
    sweeping.sweep()
    assert not ApiFile.objects.exists()
    with pytest.raises(FileNotFoundError):
        stored_files.open_stored(sha256)


def test_a_large_file_is_read_by_a_worker(alices, alice, settings, monkeypatch):
    settings.CHECK_AT_ONCE_BYTES = 100
    monkeypatch.setattr("datasets_app.services.imports.send_import", lambda import_id: None)
    monkeypatch.setattr(execution, "supervise", making.bring)
    good, bad = alices.send(lines(ROWS))[1], alices.send(b"nothing " * 50, name="bad.jsonl")[1]
    assert (good["status"], bad["status"]) == ("uploaded", "uploaded")
    assert alices.content(good["id"]) == lines(ROWS)
    for imported in DatasetImport.objects.all():
        execution.execute_import(str(imported.pk))
    assert alices.get(f"files/{good['id']}")[1]["status"] == "processed"
    said = alices.get(f"files/{bad['id']}")[1]
    assert said["status"] == "error" and said["status_details"]
    assert DatasetVersion.objects.for_user(alice).get().row_count == 12


def test_a_file_name_is_a_name_and_no_path(alices):
    file = alices.send(b"x", purpose="batch", name='../../etc/pass"wd\r\nX: y.jsonl')[1]
    assert "/" not in file["filename"] and "\n" not in file["filename"]
    answer = alices.client.get(f"/v1/files/{file['id']}/content")
    assert whole(answer) == b"x" and "X" not in answer.headers


def test_json_stays_json_where_a_version_of_ones_own_has_the_same_bytes(alices, alice):
    """A set that was brought on a page is not taken for the file's."""
    version = make_version(alice)
    file = alices.send(json.dumps(ROWS[0]).encode() * 1 + b"\n" + lines(ROWS))[1]
    assert ApiFile.objects.get().version_id != version.pk and file["status"] == "processed"
