"""What becomes of an upload: queued, checked by a child of a worker, done or refused or crashed."""

import json
import uuid
from datetime import timedelta

import pytest
from asgiref.sync import sync_to_async
from asgiref.testing import ApplicationCommunicator
from django.db import connection
from django.utils import timezone

from accounts.models import Notice
from datasets_app import execution, leases, making, services, sweeping
from datasets_app.consumers import ImportConsumer
from datasets_app.models import Dataset, DatasetImport, DatasetVersion, ImportStatus
from datasets_app.parts import part_path
from tests.datasets_app.arriving import BAD, brought, run
from tests.datasets_app.files import chats

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("own_folder", "sent")]


def silent(imported, seconds=60, **changes) -> None:
    old = timezone.now() - timedelta(seconds=seconds)
    DatasetImport.objects.filter(pk=imported.pk).update(heartbeat_at=old, updated_at=old, **changes)


# --- To a version, or to a report ---------------------------------------------------------------------------


def test_a_good_file_becomes_a_dataset(alice, here):
    imported = run(brought(alice, name="Help desk"))
    assert imported.status == ImportStatus.DONE and imported.version.row_count == 10
    assert imported.version.dataset.name == "Help desk" and imported.version.file_name == "help.jsonl"
    assert not part_path(imported.pk).exists()
    notice = Notice.objects.get(owner=alice)
    assert "ready" in notice.text and str(imported.pk) in notice.url


def test_a_good_file_becomes_the_next_version(alice, here, dataset):
    imported = run(brought(alice, chats(12), dataset=dataset))
    assert imported.version.number == 2 and imported.version.dataset == dataset


def test_a_name_that_was_taken_meanwhile_loses_nothing(alice, here, dataset):
    imported = run(brought(alice, chats(12), name="Help desk"))
    assert imported.version.dataset.name == "Help desk 2"


def test_a_bad_file_is_refused_with_a_report_and_kept_for_a_while(alice, alice_client, here):
    imported = run(brought(alice, BAD))
    assert imported.status == ImportStatus.REFUSED and imported.message
    assert part_path(imported.pk).exists() and not Dataset.objects.exists()
    report = alice_client.get(f"/api/v1/imports/{imported.pk}/report/").json()
    assert report["verdict"] == "reject" and report["errors"][0]["line"] == 1


def test_a_second_delivery_is_skipped(alice, here):
    imported = run(brought(alice))
    run(imported)
    assert DatasetVersion.objects.count() == 1


def test_what_was_cancelled_before_its_turn_is_not_read(alice, here):
    imported = brought(alice)
    assert services.cancel_import(imported=imported)
    assert run(imported).status == ImportStatus.CANCELLED
    assert not Dataset.objects.exists() and not part_path(imported.pk).exists()
    assert not services.cancel_import(imported=imported)


def test_what_was_cancelled_while_it_was_made_leaves_nothing(alice, monkeypatch, own_storage):
    imported = brought(alice)

    def cancelled_on_the_way(row, report_progress):
        version = services.run_upload(row, report_progress)
        services.cancel_import(imported=DatasetImport.objects.get(pk=row.pk))
        return version

    monkeypatch.setitem(making.SOURCES, "upload", cancelled_on_the_way)
    monkeypatch.setattr(execution, "supervise", making.bring)
    assert run(imported).status == ImportStatus.CANCELLED
    assert not Dataset.objects.exists()


def test_progress_is_written_by_who_holds_the_import_only(alice):
    imported = brought(alice)
    token = leases.claim(str(imported.pk))
    making.Progress(imported, token)(0.4)
    imported.refresh_from_db()
    assert imported.progress == 0.4
    with pytest.raises(SystemExit):
        making.Progress(imported, str(uuid.uuid4()))(0.5)
    assert not leases.finish(imported.pk, str(uuid.uuid4()), ImportStatus.REFUSED)
    imported.refresh_from_db()
    assert (imported.progress, imported.status) == (0.4, ImportStatus.CHECKING)


def test_no_more_are_checked_at_once_than_there_are_hands(alice, here, settings, sent):
    settings.IMPORTS_AT_ONCE = 1
    first, second = brought(alice), brought(alice, chats(3))
    leases.claim(str(first.pk))
    assert run(second).status == ImportStatus.QUEUED
    DatasetImport.objects.filter(pk=first.pk).update(status=ImportStatus.DONE)
    third = brought(alice, chats(4))
    run(third)
    assert sent[-1] == str(second.pk)  # who ends tells the next
    assert run(second).status == ImportStatus.DONE


def test_one_person_never_takes_all_hands(alice, mallory, here, settings, sent):
    settings.IMPORTS_AT_ONCE = 2
    long, second = brought(mallory), brought(mallory, chats(3))
    assert leases.claim(str(long.pk))
    assert leases.claim(str(second.pk)) is None
    hers = brought(alice, chats(4))
    assert leases.next_in_line() == hers
    assert run(hers).status == ImportStatus.DONE
    DatasetImport.objects.filter(pk=long.pk).update(status=ImportStatus.DONE)
    assert leases.next_in_line() == second


# --- The child, whatever it does ----------------------------------------------------------------------------


def test_a_child_that_is_killed_is_said_and_costs_no_worker(alice, child_says):
    child_says("os.kill(os.getpid(), signal.SIGKILL)")
    imported = run(brought(alice))
    assert imported.status == ImportStatus.CRASHED and "memory" in imported.message
    assert services.can_go_again(imported)


def test_a_child_that_ends_without_a_word_is_a_crash(alice, child_says, caplog):
    child_says("sys.exit('no such thing')")
    imported = run(brought(alice))
    assert imported.status == ImportStatus.CRASHED and "code 1" in imported.message
    assert "no such thing" in caplog.text


def test_a_child_that_eats_memory_is_stopped(alice, child_says, settings):
    settings.IMPORT_MEMORY_BYTES = 100 * 1024**2
    child_says("eaten = bytearray(200 * 1024**2)\neaten[::4096] = b'x' * len(eaten[::4096])\ntime.sleep(60)")
    imported = run(brought(alice))
    assert imported.status == ImportStatus.REFUSED and "100 MB of memory" in imported.message


def test_a_child_that_never_ends_is_stopped(alice, child_says, settings):
    settings.IMPORT_SECONDS = 0
    child_says("time.sleep(60)")
    assert run(brought(alice)).status == ImportStatus.REFUSED


def test_a_cancelled_import_ends_its_child(alice, child_says, monkeypatch):
    monkeypatch.setattr(execution, "BEAT_SECONDS", 0)
    child_says("time.sleep(60)")
    imported = brought(alice)
    hold = leases.hold

    def cancelled_then_hold(*arguments, **changes):
        services.cancel_import(imported=DatasetImport.objects.get(pk=imported.pk))
        return hold(*arguments, **changes)

    monkeypatch.setattr(leases, "hold", cancelled_then_hold)
    assert run(imported).status == ImportStatus.CANCELLED


def test_a_worker_that_is_stopped_puts_the_import_back(alice, child_says):
    child_says("time.sleep(60)")
    execution.stopping.set()
    try:
        imported = run(brought(alice))
    finally:
        execution.stopping.clear()
    assert imported.status == ImportStatus.QUEUED and imported.attempt is None


@pytest.mark.django_db(transaction=True)
def test_the_real_child_makes_the_version(alice, monkeypatch, tmp_path, settings, own_storage):
    if connection.vendor != "sqlite":
        pytest.skip("the child finds the test's database by its file")
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{connection.settings_dict['NAME']}")
    imported = brought(alice, name="By a child")
    data_dir = settings.DATA_DIR
    (data_dir / "uploads").mkdir(exist_ok=True)
    part_path(imported.pk).rename(data_dir / "uploads" / part_path(imported.pk).name)
    settings.FILE_UPLOAD_TEMP_DIR = data_dir / "uploads"
    assert run(imported).status == ImportStatus.DONE, imported.message
    assert imported.version.dataset.name == "By a child" and imported.version.row_count == 10


# --- The sweep ----------------------------------------------------------------------------------------------


def test_an_import_whose_worker_is_gone_is_tried_twice_more_then_crashes(alice, sent):
    imported = brought(alice)
    for _try in range(2):
        leases.claim(str(imported.pk))
        silent(imported)
        sent.clear()
        sweeping.sweep()
        imported.refresh_from_db()
        assert imported.status == ImportStatus.QUEUED and sent == [str(imported.pk)]
    leases.claim(str(imported.pk))
    silent(imported)
    sweeping.sweep()
    imported.refresh_from_db()
    assert imported.status == ImportStatus.CRASHED and "3 times" in imported.message


def test_a_lost_nudge_is_sent_again_once(alice, sent):
    imported = brought(alice)
    silent(imported)
    sent.clear()
    sweeping.sweep()
    sweeping.sweep()
    assert sent == [str(imported.pk)]


def test_an_import_with_a_heartbeat_is_left_alone(alice):
    imported = brought(alice)
    leases.claim(str(imported.pk))
    silent(imported, seconds=5)
    sweeping.sweep()
    imported.refresh_from_db()
    assert imported.status == ImportStatus.CHECKING


def test_bytes_of_a_refused_file_go_after_a_day_its_report_after_a_month(alice, here, own_storage):
    imported = run(brought(alice, BAD))
    old = timezone.now() - timedelta(minutes=1)
    DatasetImport.objects.update(expires_at=old)
    sweeping.sweep()
    assert not part_path(imported.pk).exists() and DatasetImport.objects.exists()
    DatasetImport.objects.update(expires_at=old - timedelta(days=31))
    sweeping.sweep()
    assert not DatasetImport.objects.exists()
    assert [path for path in own_storage.rglob("*") if path.is_file()] == []


def test_leftovers_of_killed_processes_are_swept(alice, own_folder, settings):
    imported = brought(alice)
    (own_folder / "tmpabc").mkdir()
    (own_folder / "tmpabc" / "rows.jsonl").write_text("x")
    (own_folder / "x.upload").write_text("x")
    (own_folder / f"{uuid.uuid4()}.part").write_text("x")
    sweeping.sweep()
    assert len(list(own_folder.iterdir())) == 4
    settings.UPLOAD_KEEP_HOURS = -1
    sweeping.sweep()
    assert list(own_folder.iterdir()) == [part_path(imported.pk)]


# --- Again --------------------------------------------------------------------------------------------------


def test_a_crashed_import_goes_again_with_the_same_bytes(alice, alice_client, here):
    imported = brought(alice)
    DatasetImport.objects.filter(pk=imported.pk).update(status=ImportStatus.CRASHED)
    answer = alice_client.post(f"/api/v1/imports/{imported.pk}/again/", "{}", content_type="application/json")
    assert answer.status_code == 201
    again = DatasetImport.objects.get(pk=answer.json()["id"])
    assert run(again).status == ImportStatus.DONE


def test_nothing_goes_again_that_is_done_or_gone(alice, alice_client, here):
    imported = run(brought(alice))
    address = f"/api/v1/imports/{imported.pk}/again/"
    assert alice_client.post(address, "{}", content_type="application/json").status_code == 409
    refused = run(brought(alice, BAD))
    part_path(refused.pk).unlink()
    assert not services.can_go_again(refused)
    answer = alice_client.post(f"/api/v1/imports/{refused.pk}/again/", "{}", content_type="application/json")
    assert answer.status_code == 409 and "bring it once more" in answer.json()["error"]["message"]


# --- The API and the socket ---------------------------------------------------------------------------------


def test_the_api_lists_ones_own_imports(alice, alice_client, mallory_client, here):
    done, waiting = run(brought(alice)), brought(alice)
    listed = alice_client.get("/api/v1/imports/").json()["results"]
    assert [each["id"] for each in listed] == [str(waiting.pk), str(done.pk)]
    assert listed[1]["version"] == str(done.version_id)
    assert listed[1]["dataset"] == str(done.version.dataset_id)
    assert alice_client.get("/api/v1/imports/?status=queued").json()["count"] == 1
    assert mallory_client.get("/api/v1/imports/").json()["count"] == 0
    assert mallory_client.get(f"/api/v1/imports/{done.pk}/").status_code == 404
    assert alice_client.get(f"/api/v1/imports/{done.pk}/report/").status_code == 200


def test_an_import_is_cancelled_by_a_call(alice, alice_client, mallory_client):
    imported = brought(alice)
    address = f"/api/v1/imports/{imported.pk}/cancel/"
    assert mallory_client.post(address).status_code == 404
    assert alice_client.post(address).json()["status"] == "cancelled"
    assert alice_client.post(address).status_code == 409


async def connect_as(user, import_id):
    scope = {"type": "websocket", "path": "/", "headers": [], "subprotocols": [], "user": user,
             "url_route": {"kwargs": {"import_id": import_id}}}  # fmt: skip
    socket = ApplicationCommunicator(ImportConsumer.as_asgi(), scope)
    await socket.send_input({"type": "websocket.connect"})
    return socket, await socket.receive_output()


@pytest.mark.django_db(transaction=True)
async def test_the_owner_hears_of_changes_and_nobody_else(alice, mallory):
    imported = await sync_to_async(brought)(alice)
    socket, answer = await connect_as(alice, imported.pk)
    assert answer["type"] == "websocket.accept"
    await sync_to_async(services.cancel_import)(imported=imported)
    said = json.loads((await socket.receive_output())["text"])
    assert said == {"type": "import.changed", "id": str(imported.pk)}
    await socket.send_input({"type": "websocket.disconnect", "code": 1000})
    await socket.wait()
    for user, key in [(mallory, imported.pk), (alice, uuid.uuid4())]:
        _socket, answer = await connect_as(user, key)
        assert answer["type"] == "websocket.close"


def test_reading_tells_how_far_it_is(alice, monkeypatch):
    told = []
    monkeypatch.setattr(making.Progress, "__call__", lambda self, share: told.append(share))
    imported = brought(alice)
    making.bring(str(imported.pk), leases.claim(str(imported.pk)))
    assert told == sorted(told) and told[-1] == 1.0
