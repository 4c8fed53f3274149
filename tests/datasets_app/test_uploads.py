"""tus as a program speaks it, over HTTP."""

import asyncio
import base64
import errno
import hashlib
import json
import shutil
import threading
from collections import namedtuple
from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.services import create_token
from apex.common.partial_bodies import KeepWhatCame
from datasets_app import services, sweeping
from datasets_app.models import DatasetImport, ImportStatus
from datasets_app.parts import part_path

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("own_folder", "sent")]
UPLOADS = "/api/v1/uploads/"
TUS = {"Tus-Resumable": "1.0.0"}
BYTES = "application/offset+octet-stream"


@pytest.fixture
def script(alice):
    """A program of Alice's, with a token."""
    _token, plain = create_token(user=alice, name="script")
    return Client(headers={"authorization": f"Bearer {plain}", **TUS})


def told(**pairs) -> str:
    return ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in pairs.items())


def begin(client, length, headers=None, **metadata):
    metadata = {"filename": "help desk.jsonl", **metadata}
    return client.post(
        UPLOADS,
        headers={"Upload-Length": str(length), "Upload-Metadata": told(**metadata), **(headers or {})},
    )


def send(client, address, offset, content, **headers):
    return client.patch(
        address,
        content,
        content_type=BYTES,
        headers={"Upload-Offset": str(offset), **{k.replace("_", "-"): v for k, v in headers.items()}},
    )


def offset_at(client, address) -> int:
    answer = client.head(address)
    assert answer.status_code == 200 and answer["Cache-Control"] == "no-store"
    return int(answer["Upload-Offset"])


def only_import() -> DatasetImport:
    return DatasetImport.objects.get()


# --- What a client may do ---------------------------------------------------------------------------------


def test_the_server_says_what_it_can_do(script):
    answer = script.options(UPLOADS)
    assert answer.status_code == 204
    assert answer["Tus-Version"] == answer["Tus-Resumable"] == "1.0.0"
    assert "creation" in answer["Tus-Extension"] and answer["Tus-Max-Size"] == str(100 * 1024 * 1024)
    assert answer["Tus-Checksum-Algorithm"] == "sha1,sha256,md5"


def test_an_upload_comes_in_pieces_and_is_queued_with_its_last_byte(
    script, sent, alice, django_capture_on_commit_callbacks
):
    answer = begin(script, 10, name="Letters")
    assert answer.status_code == 201 and answer["Upload-Expires"]
    address = answer["Location"]
    assert offset_at(script, address) == 0
    first = send(script, address, 0, b"01234")
    assert (first.status_code, first["Upload-Offset"]) == (204, "5")
    assert only_import().status == ImportStatus.RECEIVING and not sent
    assert script.head(address)["Upload-Length"] == "10"
    with django_capture_on_commit_callbacks(execute=True):
        last = send(script, address, 5, b"56789")
    assert (last.status_code, last["Upload-Offset"]) == (204, "10")
    imported = only_import()
    assert (imported.status, imported.owner, imported.name) == (ImportStatus.QUEUED, alice, "Letters")
    assert imported.file_name == "help desk.jsonl"
    assert part_path(imported.pk).read_bytes() == b"0123456789"
    assert sent == [str(imported.pk)]


def test_the_first_bytes_may_come_with_the_creation(script, sent):
    answer = script.post(UPLOADS, b"01234", content_type=BYTES, headers={"Upload-Length": "10"})
    assert (answer.status_code, answer["Upload-Offset"]) == (201, "5")
    assert offset_at(script, answer["Location"]) == 5


def test_an_empty_file_is_whole_at_once(script, sent):
    begin(script, 0)
    assert only_import().status == ImportStatus.QUEUED


def test_pages_use_the_same_address_by_session_with_a_csrf_token(alice, sent):
    browser = Client(enforce_csrf_checks=True, headers=TUS)
    browser.force_login(alice)
    assert begin(browser, 10).status_code == 403
    browser.get(reverse("datasets:dataset-add"))
    token = browser.cookies["csrftoken"].value
    answer = begin(browser, 10, headers={"x-csrftoken": token})
    assert answer.status_code == 201
    assert send(browser, answer["Location"], 0, b"01234").status_code == 403
    assert send(browser, answer["Location"], 0, b"01234", x_csrftoken=token).status_code == 204


def test_proxies_that_know_neither_patch_nor_delete(script, sent):
    address = begin(script, 10)["Location"]
    answer = script.post(
        address,
        b"01234",
        content_type=BYTES,
        headers={"Upload-Offset": "0", "X-HTTP-Method-Override": "PATCH"},
    )
    assert answer.status_code == 204 and offset_at(script, address) == 5
    assert script.post(address, headers={"X-HTTP-Method-Override": "DELETE"}).status_code == 204


def test_a_cancelled_upload_takes_nothing_more_and_leaves_nothing(script, sent, own_folder):
    address = begin(script, 10)["Location"]
    send(script, address, 0, b"01234")
    assert script.delete(address).status_code == 204
    assert list(own_folder.iterdir()) == []
    assert script.head(address).status_code == 410
    assert send(script, address, 5, b"56789").status_code == 410
    assert script.delete(address).status_code == 204


# --- What is refused, and how -----------------------------------------------------------------------------


def test_another_version_of_tus_is_refused(script):
    answer = script.post(UPLOADS, headers={"Tus-Resumable": "0.2.2", "Upload-Length": "1"})
    assert (answer.status_code, answer["Tus-Version"]) == (412, "1.0.0")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Upload-Length": "-1"},
        {"Upload-Length": "ten"},
        {"Upload-Length": "٣"},
        {"Upload-Defer-Length": "1"},
        {"Upload-Length": "1", "Upload-Metadata": "filename ###"},
        {"Upload-Length": "1", "Upload-Metadata": "filename YQ==,filename YQ=="},
        {"Upload-Length": "1", "Upload-Metadata": told(mapping="[1]")},
        {"Upload-Length": "1", "Upload-Metadata": told(mapping='{"question": [1]}')},
        {"Upload-Length": "1", "Upload-Metadata": told(mapping='{"colour": "x"}')},
        {"Upload-Length": "1", "Upload-Metadata": "filename /w=="},
    ],
)
def test_headers_that_make_no_sense_are_a_bad_request(script, headers):
    headers = {key: value.encode().decode("latin-1") for key, value in headers.items()}
    answer = script.post(UPLOADS, headers=headers)
    assert answer.status_code == 400 and answer.json()["error"]["message"]
    assert not DatasetImport.objects.exists()


def test_a_file_above_the_limit_is_refused_before_a_byte_is_sent(script, alice, settings):
    assert begin(script, settings.UPLOAD_LIMIT_BYTES + 1).status_code == 413
    alice.upload_limit_mb = 1
    alice.save()
    answer = begin(script, 1024 * 1024 + 1)
    assert answer.status_code == 413 and "1 MB" in answer.json()["error"]["message"]
    alice.upload_limit_mb = 200
    alice.save()
    assert begin(script, 150 * 1024 * 1024).status_code == 201


def test_bytes_at_the_wrong_place_change_nothing(script, sent):
    address = begin(script, 10)["Location"]
    send(script, address, 0, b"01234")
    for offset in (0, 4, 6):
        assert send(script, address, offset, b"abc").status_code == 409
    assert offset_at(script, address) == 5
    assert send(script, address, -1, b"abc").status_code == 400


def test_bytes_of_another_type_are_refused(script):
    address = begin(script, 10)["Location"]
    answer = script.patch(address, b"01234", content_type="text/plain", headers={"Upload-Offset": "0"})
    assert answer.status_code == 415


def test_more_bytes_than_announced_are_refused(script):
    address = begin(script, 4)["Location"]
    assert send(script, address, 0, b"01234").status_code == 413
    assert offset_at(script, address) == 0


@pytest.mark.parametrize("name", ["sha1", "sha256", "md5"])
def test_bytes_are_kept_only_if_their_checksum_is_right(script, name):
    address = begin(script, 10)["Location"]
    right = base64.b64encode(hashlib.new(name, b"01234").digest()).decode()
    assert send(script, address, 0, b"01235", Upload_Checksum=f"{name} {right}").status_code == 460
    assert offset_at(script, address) == 0
    assert send(script, address, 0, b"01234", Upload_Checksum=f"{name} {right}").status_code == 204
    assert send(script, address, 5, b"5", Upload_Checksum="crc32 AAAA").status_code == 400
    assert send(script, address, 5, b"5", Upload_Checksum=f"{name} ???").status_code == 400


def test_nobody_adds_to_what_is_not_theirs(script, mallory):
    address = begin(script, 10)["Location"]
    _token, plain = create_token(user=mallory, name="x")
    stranger = Client(headers={"authorization": f"Bearer {plain}", **TUS})
    assert stranger.head(address).status_code == 404
    assert send(stranger, address, 0, b"01234").status_code == 404
    assert stranger.delete(address).status_code == 404
    assert begin(stranger, 10, dataset="00000000-0000-0000-0000-000000000000").status_code == 404
    assert Client(headers=TUS).post(UPLOADS).status_code == 401
    _token, plain = create_token(
        user=get_user_model().objects.get(username="alice"), name="r", scopes=["read"]
    )
    reader = Client(headers={"authorization": f"Bearer {plain}", **TUS})
    assert begin(reader, 10).status_code == 403


def test_a_new_version_is_only_for_ones_own_dataset(script, dataset, mallory):
    assert begin(script, 10, dataset=str(dataset.pk)).status_code == 201
    assert only_import().dataset == dataset
    dataset.owner = mallory
    dataset.save()
    assert begin(script, 10, dataset=str(dataset.pk)).status_code == 404


def test_unfinished_uploads_of_one_person_are_few(script, settings):
    settings.OPEN_UPLOADS = 2
    assert [begin(script, 10).status_code for _ in range(3)] == [201, 201, 429]


def test_one_person_holds_no_more_bytes_than_their_share(script, alice, settings, sent):
    settings.OPEN_UPLOADS, settings.UPLOAD_LIMIT_BYTES = 2, 10
    refused = [services.begin_upload(owner=alice, length=8, file_name="x") for _ in range(2)]
    DatasetImport.objects.update(status=ImportStatus.REFUSED, expires_at=timezone.now() + timedelta(hours=1))
    assert begin(script, 8).status_code == 201
    # The oldest of the refused ones made room.
    assert [part_path(each.pk).exists() for each in refused] == [False, True]
    DatasetImport.objects.exclude(pk__in=[each.pk for each in refused]).update(status=ImportStatus.QUEUED)
    assert begin(script, 8).status_code == 201
    assert not any(part_path(each.pk).exists() for each in refused)
    answer = begin(script, 8)
    assert answer.status_code == 429 and "not checked yet" in answer.json()["error"]["message"]


def test_a_form_says_so_when_there_is_no_room_left(alice_client, alice, settings, sent, upload):
    settings.OPEN_UPLOADS, settings.CHECK_AT_ONCE_BYTES = 1, 10
    services.begin_upload(owner=alice, length=services.upload_limit(alice), file_name="x")
    answer = alice_client.post("/data/add/", {"source": "file", "file": upload()})
    assert answer.status_code == 422 and "not checked yet" in answer.content.decode()


def test_an_address_to_go_on_to_is_one_of_ours(script):
    for wanted, kept in [("/teach/x/", "/teach/x/"), ("//evil.example/", ""), ("https://evil.example/", "")]:
        DatasetImport.objects.all().delete()
        begin(script, 10, next=wanted)
        assert only_import().recipe.get("next", "") == kept


# --- What may go wrong on our side ------------------------------------------------------------------------


def test_two_writers_at_once_do_not_mix(script, sent):
    address = begin(script, 10)["Location"]
    with services.uploads.locked_part(only_import()):
        assert send(script, address, 0, b"01234").status_code == 423
    assert send(script, address, 0, b"01234").status_code == 204


@pytest.mark.django_db(transaction=True)
def test_of_many_that_send_the_same_piece_one_is_heard(alice, sent):
    imported = services.begin_upload(owner=alice, length=200_000, file_name="x")
    piece, outcomes = b"x" * 100_000, []

    class Slow:
        def __init__(self):
            self.left = [piece[:50_000], piece[50_000:], b""]

        def read(self, size):
            gate.wait(5)
            return self.left.pop(0)

    gate = threading.Event()

    def write():
        from django.db import connection

        row = DatasetImport.objects.get(pk=imported.pk)
        try:
            outcomes.append(services.append_bytes(imported=row, offset=0, body=Slow()))
        except services.UploadRefused as problem:
            outcomes.append(type(problem))
        finally:
            connection.close()

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    gate.set()
    for thread in threads:
        thread.join()
    assert outcomes.count(100_000) == 1
    assert set(outcomes) <= {100_000, services.UploadBusy, services.WrongOffset}
    assert part_path(imported.pk).stat().st_size == 100_000


def test_what_a_killed_process_wrote_beyond_its_count_is_cut_off(script, sent):
    address = begin(script, 10)["Location"]
    send(script, address, 0, b"01234")
    with open(part_path(only_import().pk), "ab") as part:
        part.write(b"junk")
    assert offset_at(script, address) == 5
    assert send(script, address, 5, b"56789").status_code == 204
    assert part_path(only_import().pk).read_bytes() == b"0123456789"


def test_bytes_that_a_crash_lost_are_asked_for_again(script, sent):
    address = begin(script, 10)["Location"]
    send(script, address, 0, b"01234")
    with open(part_path(only_import().pk), "r+b") as part:
        part.truncate(3)
    assert offset_at(script, address) == 3
    assert send(script, address, 5, b"56789").status_code == 409
    assert send(script, address, 3, b"3456789").status_code == 204
    assert part_path(only_import().pk).read_bytes() == b"0123456789"


def test_a_file_that_is_gone_begins_anew(script, sent):
    address = begin(script, 10)["Location"]
    part_path(only_import().pk).unlink()
    assert send(script, address, 0, b"01234").status_code == 410


def test_a_full_disk_is_said_in_a_sentence(script, monkeypatch, sent):
    address = begin(script, 10)["Location"]
    monkeypatch.setattr(
        services.uploads, "write_body", lambda *a, **k: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full"))
    )
    answer = send(script, address, 0, b"01234")
    assert answer.status_code == 507 and "disk" in answer.json()["error"]["message"]
    assert offset_at(script, address) == 0
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(1, 1, 1000))
    answer = begin(script, 500)
    assert answer.status_code == 507 and "0 MB free" in answer.json()["error"]["message"]


def test_an_abandoned_upload_expires(script, own_folder):
    kept, lost = begin(script, 10)["Location"], begin(script, 10)["Location"]
    key = lost.rstrip("/").rpartition("/")[2]
    DatasetImport.objects.filter(pk=key).update(expires_at=timezone.now() - timedelta(minutes=1))
    sweeping.sweep()
    assert script.head(lost).status_code == 404
    assert offset_at(script, kept) == 0
    assert len(list(own_folder.iterdir())) == 1


def test_each_piece_puts_the_end_off(script):
    address = begin(script, 10)["Location"]
    DatasetImport.objects.update(expires_at=timezone.now() + timedelta(minutes=1))
    send(script, address, 0, b"01234")
    assert only_import().expires_at > timezone.now() + timedelta(hours=23)


def test_an_upload_whose_last_word_was_lost_is_queued_by_the_sweep(script, sent):
    begin(script, 10)
    old = timezone.now() - timedelta(minutes=5)
    DatasetImport.objects.update(offset=10, updated_at=old)
    sweeping.sweep()
    assert only_import().status == ImportStatus.QUEUED and sent == [str(only_import().pk)]


# --- A body that breaks off -------------------------------------------------------------------------------


async def through(messages, *, path="/api/v1/uploads/x/", method="PATCH"):
    """What an application behind KeepWhatCame receives, until it would have to wait."""
    waiting, received = list(messages), []

    async def app(scope, receive, send):
        while True:
            try:
                received.append(await asyncio.wait_for(receive(), 0.05))
            except TimeoutError:
                return
            if received[-1]["type"] == "http.disconnect":
                return

    async def receive():
        return waiting.pop(0) if waiting else await asyncio.Event().wait()

    scope = {"type": "http", "method": method, "path": path}
    await KeepWhatCame(app, prefix=UPLOADS)(scope, receive, None)
    return received


PIECE = {"type": "http.request", "body": b"01234", "more_body": True}
LOST = {"type": "http.disconnect"}


async def test_what_came_before_the_connection_was_lost_reaches_the_view():
    received = await through([PIECE, LOST])
    assert received == [PIECE, {"type": "http.request", "body": b"", "more_body": False}]


async def test_a_view_that_stores_bytes_is_not_told_of_a_loss_after_them():
    assert await through([{**PIECE, "more_body": False}, LOST]) == [{**PIECE, "more_body": False}]


async def test_other_addresses_are_left_alone():
    assert await through([PIECE, LOST], path="/api/v1/datasets/") == [PIECE, LOST]
    assert await through([PIECE, LOST], method="GET") == [PIECE, LOST]


def test_mapping_comes_along(script):
    begin(script, 10, mapping=json.dumps({"question": "Frage", "answer": "Antwort"}))
    assert only_import().mapping == {"question": "Frage", "answer": "Antwort"}
