"""`python -m bench`: its options reach the subjects that take them, and its figures have one shape."""

import types

import pytest

import bench.__main__ as command
from bench.figures import as_text, figure


@pytest.fixture
def subjects(monkeypatch):
    """Two subjects, one of which makes faults; returns what it was called with."""
    asked = {}

    def chaos(faults: int = 7, seed: int = 1):
        asked.update(faults=faults, seed=seed)
        yield figure("lost", 0, "trainings", "peer", 0)

    modules = {
        "bench.chaos": types.SimpleNamespace(measure=chaos),
        "bench.plain": types.SimpleNamespace(measure=lambda: iter(())),
    }
    monkeypatch.setattr(command, "subjects", lambda: ["chaos", "plain"])
    monkeypatch.setattr(command.importlib, "import_module", modules.__getitem__)
    return asked


def test_options_reach_the_subject_that_takes_them(subjects):
    assert command.main(["chaos", "--faults", "1000", "--seed", "5", "--json"]) == 0
    assert subjects == {"faults": 1000, "seed": 5}


def test_options_stay_away_from_the_others_when_all_run(subjects):
    assert command.main(["--seed", "9"]) == 0
    assert subjects == {"faults": 7, "seed": 9}


def test_a_named_subject_that_takes_no_option_refuses_it(subjects, capsys):
    with pytest.raises(SystemExit):
        command.main(["plain", "--faults", "3"])
    assert "plain does not take --faults" in capsys.readouterr().err


def test_a_ratio_to_nothing_is_none():
    assert figure("lost", 0, "jobs", "peer", 0)["ratio"] is None
    assert figure("unequal", 2, "jobs", "peer", None)["peer_value"] is None
    assert figure("lost", 0, "jobs", "peer", 4)["ratio"] == 0
    assert "(ratio –)" in as_text(figure("lost", 0, "jobs", "peer", 0))
