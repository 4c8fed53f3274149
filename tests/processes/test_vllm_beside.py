"""Tests that need a real vLLM wait for it; only where it cannot be fetched they are left out."""

import json
import os
import time

import pytest

from apex.processes import vllm_cpu
from tests import vllm_beside


@pytest.fixture
def outcome(tmp_path, monkeypatch):
    """Where the process that installs tells what came of it; writes it, too."""
    file = tmp_path / "outcome.json"
    monkeypatch.setenv(vllm_beside.OUTCOME, str(file))
    return lambda **facts: file.write_text(json.dumps(facts))


def test_its_folder_is_given_once_it_is_there(outcome):
    outcome(folder="/somewhere", seconds=3)
    assert str(vllm_beside.wait_for_vllm()) == "/somewhere"


def test_without_a_network_the_tests_are_left_out_loudly(outcome):
    outcome(problem="No matching distribution", is_broken=False)
    with pytest.raises(vllm_beside.NotThere, match="cannot be installed here.*No matching"):
        vllm_beside.wait_for_vllm()


def test_what_does_not_start_fails_them_and_so_does_waiting_too_long(outcome):
    with pytest.raises(vllm_cpu.Broken, match="within 0 s"):
        vllm_beside.wait_for_vllm(0.3)
    outcome(problem="does not start", is_broken=True)
    with pytest.raises(vllm_cpu.Broken, match="does not start"):
        vllm_beside.wait_for_vllm()


def test_the_process_tells_what_came_of_it_and_ends_with_the_tests(tmp_path, monkeypatch, capsys):
    """Here nothing can be fetched: no room for it."""
    monkeypatch.setattr(vllm_cpu, "NEEDED_BYTES", 10**18)
    monkeypatch.setenv("APEX_VLLM_ENV", str(tmp_path / "none"))
    monkeypatch.setenv(vllm_beside.OUTCOME, str(tmp_path / "outcome.json"))
    assert vllm_beside.main() == 0
    with pytest.raises(vllm_beside.NotThere, match="MB free"):
        vllm_beside.wait_for_vllm()

    # As `make test` begins it: another process, which finds the environment ready.
    folder = tmp_path / "ready"
    folder.mkdir()
    (folder / vllm_cpu.STAMP).write_text(vllm_cpu.fingerprint())
    monkeypatch.setenv("APEX_VLLM_ENV", str(folder))
    environment = dict(os.environ)
    with vllm_beside.installing(environment):
        monkeypatch.setenv(vllm_beside.OUTCOME, environment[vllm_beside.OUTCOME])
        began = time.monotonic()
        assert vllm_beside.wait_for_vllm(30) == folder
        assert time.monotonic() - began < 30
    assert "beside the tests" in capsys.readouterr().out
    assert not os.path.exists(environment[vllm_beside.OUTCOME])
