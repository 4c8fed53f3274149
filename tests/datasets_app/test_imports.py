"""What becomes of an upload: queued, checked by a child of a worker, done or refused or crashed."""

import json
import sys
import uuid
from datetime import timedelta

import pytest
from asgiref.testing import ApplicationCommunicator
from django.db import connection
from django.urls import reverse
from django.utils import timezone

from accounts.models import Notice
from datasets_app import execution, leases, making, queueing, services, sweeping
from datasets_app.consumers import ImportConsumer
from datasets_app.models import Dataset, DatasetImport, DatasetVersion, ImportStatus
from datasets_app.parts import part_path
from tests.datasets_app.files import chats

pytestmark = pytest.mark.django_db
BAD = '{"messages": [}\n'


@pytest.fixture(autouse=True)
def own_folder(settings, tmp_path):
    settings.FILE_UPLOAD_TEMP_DIR = tmp_path / "uploads"
    settings.FILE_UPLOAD_TEMP_DIR.mkdir()
    return settings.FILE_UPLOAD_TEMP_DIR


@pytest.fixture(autouse=True)
def sent(monkeypatch):
    """Nudges that would have gone to the queue: ids of imports."""
    nudges = []
    monkeypatch.setattr(
        queueing.current_app, "send_task", lambda name, kwargs: nudges.append(kwargs["import_id"])
    )
    return nudges


@pytest.fixture
def here(monkeypatch):
    """The child's work is done in this process, which has the test's database."""
    monkeypatch.setattr(execution, "supervise", making.bring)


@pytest.fixture
def child_says(monkeypatch, tmp_path):
    """`child_says("sys.exit(3)")`: the child runs these lines in place of making a version."""

    def set_script(lines: str) -> None:
        script = tmp_path / "child.py"
        script.write_text(f"import os, signal, sys, time\n{lines}\n")
        monkeypatch.setattr(execution, "CHILD", [sys.executable, str(script)])

    return set_script


def brought(owner, content=None, **more) -> DatasetImport:
    """An upload that has come whole and waits to be checked."""
    content = (chats(10) if content is None else content).encode()
    imported = services.begin_upload(owner=owner, length=len(content), file_name="help.jsonl", **more)
    part_path(imported.pk).write_bytes(content)
    DatasetImport.objects.filter(pk=imported.pk).update(offset=len(content))
    imported.refresh_from_db()
    services.queue_import(imported=imported)
    return imported


def run(imported) -> DatasetImport:
    execution.execute_import(str(imported.pk))
    imported.refresh_from_db()
    return imported


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
    from asgiref.sync import sync_to_async

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


# --- The pages ----------------------------------------------------------------------------------------------


def page_of(client, imported, name="import-detail", **query):
    return client.get(reverse(f"datasets:{name}", args=[imported.pk]), query)


def text_of(response) -> str:
    return " ".join(response.content.decode().split())


def test_a_large_file_by_a_plain_form_is_checked_by_a_worker(alice_client, settings, upload, sent, dataset):
    settings.CHECK_AT_ONCE_BYTES = 10
    answer = alice_client.post(
        reverse("datasets:dataset-add"), {"source": "file", "name": "Large", "file": upload()}
    )
    imported = DatasetImport.objects.get()
    assert answer.url == reverse("datasets:import-detail", args=[imported.pk])
    assert (imported.status, imported.name, sent) == (ImportStatus.QUEUED, "Large", sent)
    answer = alice_client.post(reverse("datasets:version-add", args=[dataset.pk]), {"file": upload(chats(3))})
    assert DatasetImport.objects.get(dataset=dataset).length == len(chats(3))
    assert answer.status_code == 302


def test_the_page_follows_an_import_to_its_version(alice, alice_client, here):
    imported = brought(alice)
    page = text_of(page_of(alice_client, imported))
    assert "waiting for its turn" in page and f"/ws/data/imports/{imported.pk}/" in page
    assert "On their way in" in text_of(alice_client.get(reverse("datasets:dataset-list")))
    leases.claim(str(imported.pk))
    DatasetImport.objects.filter(pk=imported.pk).update(progress=0.417)
    part = page_of(alice_client, imported, "import-status")
    assert "42 % of it is read" in text_of(part) and "HX-Refresh" not in part
    DatasetImport.objects.filter(pk=imported.pk).update(status=ImportStatus.QUEUED)
    run(imported)
    assert page_of(alice_client, imported, "import-status")["HX-Refresh"] == "true"
    assert str(imported.version.dataset_id) in page_of(alice_client, imported).url
    assert "On their way in" not in text_of(alice_client.get(reverse("datasets:dataset-list")))


def test_an_unfinished_upload_can_go_on_from_its_page(alice, alice_client):
    imported = services.begin_upload(owner=alice, length=2_000_000, file_name="letters.jsonl")
    page = text_of(page_of(alice_client, imported))
    assert "Choose the same file" in page and f'data-resume="/api/v1/uploads/{imported.pk}/"' in page
    assert 'data-length="2000000"' in page


def test_a_refused_file_shows_its_faults_its_report_and_the_way_on(alice, alice_client, here):
    imported = run(brought(alice, BAD * 3, name="Letters"))
    page = text_of(page_of(alice_client, imported))
    assert imported.message.split(".")[0] in page.replace("&quot;", '"')
    assert "Bring the mended file" in page and 'value="Letters"' in page
    report = page_of(alice_client, imported, "import-report")
    assert report.json()["verdict"] == "reject" and "attachment" in report["Content-Disposition"]
    table = page_of(alice_client, imported, "import-report", **{"as": "csv"}).content.decode()
    assert table.startswith("line,severity,code,problem,mend,found")


def test_cells_of_the_report_are_no_formulas(alice, alice_client):
    imported = brought(alice)
    problem = services.DatasetRefused(
        "No.", [{"line": 1, "problem": "=cmd()", "mend": "-1", "code": "x", "severity": "error"}]
    )
    DatasetImport.objects.filter(pk=imported.pk).update(
        status=ImportStatus.REFUSED, report_sha256=services.keep_report(imported, problem)
    )
    table = page_of(alice_client, imported, "import-report", **{"as": "csv"}).content.decode()
    assert "'=cmd()" in table and "'-1" in table


def test_a_crash_is_said_to_be_ours_and_can_be_tried_again(alice, alice_client, child_says):
    child_says("sys.exit(1)")
    imported = run(brought(alice))
    page = text_of(page_of(alice_client, imported))
    assert "our fault" in page and "Try again" in page
    answer = alice_client.post(reverse("datasets:import-again", args=[imported.pk]))
    again = DatasetImport.objects.exclude(pk=imported.pk).get()
    assert answer.url == reverse("datasets:import-detail", args=[again.pk])
    assert again.status == ImportStatus.QUEUED and part_path(again.pk).exists()


def test_an_import_is_cancelled_from_its_page(alice, alice_client):
    imported = brought(alice)
    alice_client.post(reverse("datasets:import-cancel", args=[imported.pk]))
    imported.refresh_from_db()
    assert imported.status == ImportStatus.CANCELLED
    assert "nothing of it is kept" in text_of(page_of(alice_client, imported))


def test_a_version_deleted_since_is_said(alice, alice_client, here):
    imported = run(brought(alice))
    imported.version.dataset.delete()
    assert "deleted since" in text_of(page_of(alice_client, imported))


# --- Which column is what -----------------------------------------------------------------------------------

COLUMNS = {"Frage": ["Wann?", "Wo?"], "Antwort": ["Um 9.", "Hier."], "Nr": ["1", "2"]}


@pytest.fixture
def unknown(alice):
    """An import that was refused since no format fits; its report names the columns."""
    imported = brought(alice, "Nr;Frage;Antwort\n1;Wann?;Um 9.\n2;Wo?;Hier.\n")
    report = {"verdict": "reject", "errors": [], "warnings": [], "columns": COLUMNS}
    DatasetImport.objects.filter(pk=imported.pk).update(
        status=ImportStatus.REFUSED,
        message="No known format.",
        report_sha256=services.imports.files.put_bytes(json.dumps(report).encode()).sha256,
    )
    imported.refresh_from_db()
    return imported


def test_the_page_asks_which_column_is_what_and_guesses_well(alice_client, unknown):
    page = text_of(page_of(alice_client, unknown))
    assert "Which column is the question" in page
    assert '<option value="Frage" selected>' in page and '<option value="Antwort" selected>' in page
    assert (
        '<li class="learned"><span class="who">It learns this answer</span><p class="says pre">Um 9.' in page
    )


def test_the_first_rows_are_shown_as_they_would_be_read(alice_client, mallory_client, unknown):
    part = page_of(
        alice_client, unknown, "import-columns", **{"as": "chat", "question": "Nr", "answer": "Frage"}
    )
    assert '<p class="says pre">1</p>' in text_of(part) and '<p class="says pre">Wann?</p>' in text_of(part)
    part = page_of(alice_client, unknown, "import-columns", **{"as": "preference", "question": "Nr"})
    assert 'name="rejected"' in text_of(part) and "avoid" in text_of(part)
    part = page_of(
        alice_client, unknown, "import-columns", **{"as": "chat", "question": "Nr", "answer": "Nr"}
    )
    assert "named for two things" in text_of(part)
    assert page_of(mallory_client, unknown, "import-columns").status_code == 404


def test_named_columns_are_read_again_from_the_same_bytes(alice_client, unknown):
    address = reverse("datasets:import-again", args=[unknown.pk])
    alice_client.post(address, {"as": "chat", "question": "Frage", "answer": "nonsense"})
    assert DatasetImport.objects.count() == 1
    answer = alice_client.post(
        address, {"as": "chat", "question": "Frage", "answer": "Antwort", "system": ""}
    )
    again = DatasetImport.objects.exclude(pk=unknown.pk).get()
    assert again.mapping == {"question": "Frage", "answer": "Antwort"}
    assert answer.url == reverse("datasets:import-detail", args=[again.pk])
    assert part_path(again.pk).read_bytes() == part_path(unknown.pk).read_bytes()


# --- The wizard ---------------------------------------------------------------------------------------------


@pytest.fixture
def plan(alice):
    from training.models import Plan

    return Plan.objects.create(owner=alice, name="Coach")


def test_the_wizard_waits_for_a_large_file_and_then_uses_it(alice_client, plan, settings, upload, here):
    settings.CHECK_AT_ONCE_BYTES = 10
    address = reverse("training:plan-examples", args=[plan.pk])
    answer = alice_client.post(address, {"source": "file", "file": upload()})
    imported = DatasetImport.objects.get()
    assert answer.url == f"{address}?import={imported.pk}"
    assert "waiting for its turn" in text_of(alice_client.get(answer.url))
    run(imported)
    assert page_of(alice_client, imported).url == answer.url
    assert "data-submits-itself" in text_of(alice_client.get(answer.url))
    alice_client.post(address, {"source": "import", "import": str(imported.pk)})
    plan.refresh_from_db()
    assert plan.dataset_version == imported.version
    assert "data-submits-itself" not in text_of(alice_client.get(answer.url))


def test_the_wizard_says_why_a_large_file_was_refused(alice, alice_client, mallory_client, plan, here):
    imported = run(brought(alice, BAD))
    address = reverse("training:plan-examples", args=[plan.pk])
    page = text_of(alice_client.get(address, {"import": str(imported.pk)}))
    assert "See what is wrong" in page
    assert alice_client.post(address, {"source": "import", "import": str(imported.pk)}).status_code == 422
    assert alice_client.get(address, {"import": str(uuid.uuid4())}).status_code == 404


def test_a_table_that_nobody_knows_is_read_once_its_columns_are_named(alice, alice_client, here):
    rows = "".join(f"{number};Wie geht Sache {number}?;So geht sie, {number} Mal.\n" for number in range(20))
    imported = run(brought(alice, f"Nr;Frage an uns;Unsere Antwort\n{rows}", name="Tabelle"))
    assert imported.status == ImportStatus.REFUSED
    page = text_of(page_of(alice_client, imported))
    assert '<option value="Frage an uns" selected>' in page and "Wie geht Sache 0?" in page
    address = reverse("datasets:import-again", args=[imported.pk])
    alice_client.post(address, {"as": "chat", "question": "Frage an uns", "answer": "Unsere Antwort"})
    again = run(DatasetImport.objects.exclude(pk=imported.pk).get())
    assert again.status == ImportStatus.DONE, again.message
    assert again.version.row_count == 20 and again.version.dataset.name == "Tabelle"
    assert "could not be used" not in text_of(alice_client.get(reverse("datasets:dataset-list")))


def test_reading_tells_how_far_it_is(alice, monkeypatch):
    told = []
    monkeypatch.setattr(making.Progress, "__call__", lambda self, share: told.append(share))
    imported = brought(alice)
    making.bring(str(imported.pk), leases.claim(str(imported.pk)))
    assert told == sorted(told) and told[-1] == 1.0


def test_a_call_may_name_the_columns_at_once(alice_client, upload):
    table = "Nr;Frage an uns;Unsere Antwort\n" + "".join(f"{n};Was ist {n}?;Das ist {n}.\n" for n in range(9))
    columns = {"question": "Frage an uns", "answer": "Unsere Antwort"}

    def bring(mapping):
        form = {"name": "T", "file": upload(table, "t.csv")} | ({"mapping": mapping} if mapping else {})
        return alice_client.post("/api/v1/datasets/", form)

    assert bring(None).status_code == 400
    for wrong in ("[1]", "no json", '{"question": 1}', '{"colour": "Nr"}'):
        assert bring(wrong).json()["error"]["field"] == "mapping"
    made = bring(json.dumps(columns))
    assert (made.status_code, made.json()["latest"]["row_count"]) == (201, 9)
    body = {"name": "As JSON", "text": table, "mapping": columns}
    made = alice_client.post("/api/v1/datasets/", json.dumps(body), content_type="application/json")
    assert made.status_code == 201


def test_a_superuser_sees_imports_and_sets_how_much_one_may_bring(alice, admin_client):
    imported = services.begin_upload(owner=alice, length=5, file_name="seen by the admin.jsonl")
    assert "seen by the admin" in text_of(admin_client.get("/admin/datasets_app/datasetimport/"))
    address = f"/admin/datasets_app/datasetimport/{imported.pk}/change/"
    assert admin_client.get(address).status_code == 200
    assert 'name="upload_limit_mb"' in text_of(admin_client.get(f"/admin/accounts/user/{alice.pk}/change/"))


def test_what_failed_stands_on_the_data_page_until_it_is_forgotten(alice, alice_client, mallory_client, here):
    imported = run(brought(alice, BAD))
    listed = reverse("datasets:dataset-list")
    assert "could not be used" in text_of(alice_client.get(listed))
    address = reverse("datasets:import-forget", args=[imported.pk])
    assert mallory_client.post(address).status_code == 404
    alice_client.post(address)
    assert "could not be used" not in text_of(alice_client.get(listed))
    assert not DatasetImport.objects.exists() and not part_path(imported.pk).exists()


def test_an_import_is_forgotten_by_a_call_and_what_it_became_stays(
    alice, alice_client, here, own_storage, django_capture_on_commit_callbacks
):
    done, refused, waiting = run(brought(alice)), run(brought(alice, BAD)), brought(alice)
    with django_capture_on_commit_callbacks(execute=True):
        for each in (done, refused, waiting):
            assert alice_client.delete(f"/api/v1/imports/{each.pk}/").status_code == 204
    assert not DatasetImport.objects.exists() and DatasetVersion.objects.get() == done.version
    assert not (own_storage / refused.report_sha256[:2] / refused.report_sha256).exists()
    assert (own_storage / done.report_sha256[:2] / done.report_sha256).exists()
    assert not part_path(waiting.pk).exists()
