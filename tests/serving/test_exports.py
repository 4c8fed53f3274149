"""Exports as rows: begun, made by a worker and its child, cancelled, expired."""

import shutil
import subprocess
import threading
import time
import zipfile
from datetime import timedelta

import pytest
from celery import current_app
from django.utils import timezone

from accounts.models import Notice
from apex.common import files
from serving.exports import execution, leases, services, sweeping
from serving.exports.engine import converters
from serving.exports.models import Export, ExportStatus
from tests.serving.adapters import DEMO, write_adapter
from tests.serving.factories import make_adapter_row, make_base_model
from tests.serving.fake_hub import TOKEN, running_hub

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def sent(monkeypatch):
    """What would have gone to the broker."""
    found = []
    monkeypatch.setattr(
        current_app, "send_task", lambda name, kwargs, **more: found.append(kwargs["export_id"])
    )
    return found


CONVERTER = """
import pathlib, sys
given = dict(zip(sys.argv[1:], sys.argv[2:]))
pathlib.Path(given["--outfile"]).write_bytes(b"GGUF of " + sys.argv[1].encode())
"""


@pytest.fixture
def adapter_dir(tmp_path):
    return write_adapter(tmp_path / "adapter")


@pytest.fixture
def coach(alice, adapter_dir, sent, settings, tmp_path):
    """An adapter, and programs of the names and arguments of llama.cpp's converters: what they make is made soonest."""
    settings.LLAMA_CPP_DIR = str(tmp_path / "llama.cpp")
    (tmp_path / "llama.cpp").mkdir()
    for name in (converters.MODEL, converters.ADAPTER):
        (tmp_path / "llama.cpp" / name).write_text(CONVERTER)
    settings.FILE_UPLOAD_TEMP_DIR = tmp_path / "uploads"
    settings.FILE_UPLOAD_TEMP_DIR.mkdir()
    return make_adapter_row(alice, make_base_model(DEMO), adapter_dir)


@pytest.fixture
def hub(settings):
    with running_hub() as hub:
        settings.HUB_ENDPOINT = hub.url
        settings.ALLOWED_HOSTS_OUT = [hub.url.removeprefix("http://")]
        yield hub


def leftovers(settings) -> list:
    return list(settings.FILE_UPLOAD_TEMP_DIR.iterdir())


def run(export: Export) -> Export:
    execution.execute_export(str(export.pk))
    export.refresh_from_db()
    return export


def test_asked_twice_it_is_begun_once_and_a_second_delivery_is_skipped(coach):
    export = services.start_export(adapter=coach, kind="adapter_gguf")
    assert services.start_export(adapter=coach, kind="adapter_gguf").pk == export.pk
    assert leases.claim(str(export.pk)) is not None
    assert leases.claim(str(export.pk)) is None


def test_one_person_has_one_made_at_a_time_and_the_next_follows(coach, sent):
    first = services.start_export(adapter=coach, kind="adapter_gguf")
    second = services.start_export(adapter=coach, kind="ollama")
    claimed = leases.claim(str(first.pk))
    assert leases.claim(str(second.pk)) is None
    leases.finish(claimed, ExportStatus.FAILED, message="x")
    assert leases.next_in_line() == second


def test_a_cancelled_export_ends_its_child_within_seconds_and_leaves_nothing(coach, settings, monkeypatch):
    export = services.start_export(adapter=coach, kind="adapter_gguf")
    children = []
    started = subprocess.Popen

    def slow(command, **more):
        children.append(started(["sleep", "120"], **more))
        return children[-1]

    monkeypatch.setattr(execution.subprocess, "Popen", slow)
    worker = threading.Thread(target=execution.execute_export, args=[str(export.pk)])
    worker.start()
    deadline = time.monotonic() + 20
    while not children and time.monotonic() < deadline:
        time.sleep(0.05)
    assert services.cancel_export(export=Export.objects.get(pk=export.pk))
    worker.join(20)
    assert not worker.is_alive() and children[0].poll() is not None
    export.refresh_from_db()
    assert (export.status, export.sha256) == ("cancelled", "") and leftovers(settings) == []
    assert not services.cancel_export(export=export)


def test_a_file_that_nobody_waits_for_any_more_is_not_kept(coach, tmp_path):
    export = leases.claim(str(services.start_export(adapter=coach, kind="adapter_gguf").pk))
    (tmp_path / "x.zip").write_bytes(b"of nobody")
    sha256 = files.stored_as(tmp_path / "x.zip").sha256
    taken = files.put_file

    def cancelled_meanwhile(path):
        services.cancel_export(export=Export.objects.get(pk=export.pk))
        return taken(path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "put_file", cancelled_meanwhile)
        with pytest.raises(execution.NotOurs):
            execution.keep(export, {"file": str(tmp_path / "x.zip"), "files": [], "link": ""})
    assert not files.storage().exists(files.storage_name(sha256))


def test_without_room_it_is_refused_before_anything_is_written(coach, settings, monkeypatch):
    export = services.start_export(adapter=coach, kind="adapter_gguf")
    monkeypatch.setattr(
        execution.shutil,
        "disk_usage",
        lambda path: shutil._ntuple_diskusage(10**9, 10**9 - 10**6, 10**6),
    )
    run(export)
    assert (export.status, export.reason) == ("failed", "disk_full")
    assert "0.0 GB are free" in export.message and leftovers(settings) == []


def test_a_disk_that_is_full_when_it_is_put_away_is_told_in_words(coach, settings, monkeypatch):
    def full(path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "put_file", full)
    export = run(services.start_export(adapter=coach, kind="adapter_gguf"))
    assert (export.status, export.reason, export.sha256) == ("failed", "disk_full", "")
    assert leftovers(settings) == []


def test_a_lost_worker_gives_it_back_and_three_lost_ones_end_it(coach, settings):
    export = services.start_export(adapter=coach, kind="adapter_gguf")
    for tries in range(1, settings.EXPORT_TRIES + 1):
        assert leases.claim(str(export.pk)).tries == tries
        Export.objects.update(heartbeat_at=timezone.now() - timedelta(minutes=5))
        sweeping.sweep_exports()
        export.refresh_from_db()
        assert export.status == ("queued" if tries < settings.EXPORT_TRIES else "crashed")


def test_after_some_days_the_file_goes_and_the_row_says_so(coach):
    export = run(services.start_export(adapter=coach, kind="adapter_gguf"))
    name = files.storage_name(export.sha256)
    sweeping.sweep_exports()
    assert files.storage().exists(name)
    Export.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    sweeping.sweep_exports()
    export.refresh_from_db()
    assert (export.status, export.sha256) == ("expired", "") and not files.storage().exists(name)


def test_the_file_goes_with_its_adapter_and_stays_while_another_has_it(coach):
    first = run(services.start_export(adapter=coach, kind="adapter_gguf"))
    second = run(services.start_export(adapter=coach, kind="adapter_gguf"))
    name = files.storage_name(first.sha256)
    assert first.sha256 == second.sha256  # the same model makes the same bytes
    first.delete()
    assert files.storage().exists(name)
    second.delete()
    assert not files.storage().exists(name)


@pytest.mark.parametrize(
    ("kind", "options", "field"),
    [
        ("exe", {}, "kind"),
        ("gguf", {}, "kind"),  # no converters here
        ("merged", {"repo": "a/b"}, "repo"),
        ("hub", {"repo": "../x"}, "repo"),
        ("hub", {"repo": "alice/x", "what": "secrets"}, "what"),
        ("hub", {"repo": "alice/x"}, "token"),
    ],
)
def test_what_cannot_be_is_refused_by_the_name_of_its_field(kind, options, field, coach, settings, hub):
    settings.LLAMA_CPP_DIR = ""
    with pytest.raises(services.ExportRefused) as caught:
        services.start_export(adapter=coach, kind=kind, options=options)
    assert caught.value.field == field and not Export.objects.exists()


# --- the hub ------------------------------------------------------------------------------------------------
def push(coach, **options) -> Export:
    wanted = {"repo": "alice/fin-coach"} | options
    token = wanted.pop("token", TOKEN)
    return services.start_export(adapter=coach, kind="hub", options=wanted, token=token)


def test_an_adapter_goes_to_the_hub_whole_and_the_token_is_forgotten(coach, hub, adapter_dir, caplog):
    export = push(coach)
    assert TOKEN not in export.sealed_secret and export.sealed_secret.startswith("v1:")
    run(export)
    assert (export.status, export.link) == ("done", f"{hub.url}/alice/fin-coach"), export.message
    repo = hub.repos["alice/fin-coach"]
    assert repo["private"] is True
    for name in ("adapter_model.safetensors", "adapter_config.json"):
        assert repo["files"][name] == (adapter_dir / name).read_bytes()
    assert {each["name"] for each in export.files} <= set(repo["files"])
    row = Export.objects.filter(pk=export.pk).values().get()
    assert row["sealed_secret"] == "" and TOKEN not in str(row) and TOKEN not in caplog.text


def test_answers_to_held_out_examples_do_not_go_along(alice, coach, hub, adapter_dir, tmp_path):
    shutil.copytree(adapter_dir, tmp_path / "with")
    (tmp_path / "with" / "parity.json").write_text('{"prompts": ["somebody\'s data"]}')
    other = make_adapter_row(alice, coach.base_model, tmp_path / "with", name="Other")
    run(push(other))
    assert "parity.json" not in hub.repos["alice/fin-coach"]["files"]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"token": "hf_wrongwrongwrongwrong"}, "hub_token"),
        ({"repo": "bob/x"}, "hub_forbidden"),
        ({"repo": "alice/seen"}, "hub_public"),
    ],
)
def test_what_the_hub_refuses_is_told_and_the_token_is_forgotten(options, reason, coach, hub):
    hub.repos["alice/seen"] = {"private": False, "files": {}}
    export = run(push(coach, **options))
    assert (export.status, export.reason) == ("failed", reason), export.message
    assert "hf_" not in export.message and export.sealed_secret == ""
    assert hub.repos["alice/seen"]["files"] == {}


def test_a_hub_in_a_private_network_is_refused_unless_an_admin_allowed_it(coach, hub, settings):
    settings.ALLOWED_HOSTS_OUT = []
    with pytest.raises(services.ExportRefused, match="127.0.0.1"):
        push(coach)
    assert hub.asked == []


def test_a_hub_that_sends_the_upload_into_the_house_gets_nothing(coach, hub):
    """The guard holds for every address that the hub names, not for the first alone."""
    with running_hub() as inside:
        hub.uploads_to = inside.url
        export = run(push(coach))
        assert (export.status, export.reason) == ("failed", "address_refused"), export.message
        assert inside.asked == [] and inside.blobs == {}


# --- whole ----------------------------------------------------------------------------------------------------
def test_an_export_is_made_by_a_child_kept_and_told(coach, sent, settings):
    export = services.start_export(adapter=coach, kind="merged")
    assert sent == [str(export.pk)]
    run(export)
    assert (export.status, export.progress, export.message) == ("done", 100, "")
    with zipfile.ZipFile(files.local_path(export.sha256)) as archive:
        assert archive.testzip() is None
        names = {name.partition("/")[2] for name in archive.namelist()}
    assert {each["name"] for each in export.files} | {"SHA256SUMS"} == names
    assert export.size_bytes == files.local_path(export.sha256).stat().st_size
    assert "ready" in Notice.objects.get(owner=coach.owner).text
    assert leftovers(settings) == []
