"""The documents say what the code does."""

from pathlib import Path

from training.engine.config import describe
from training.models import ENDED

ROOT = Path(__file__).parents[2]


def test_every_setting_is_in_the_api_guide_with_its_default():
    text = (ROOT / "docs" / "api.md").read_text()
    for setting in describe():
        default = setting["default"]
        shown = (
            "none" if default is None else ", ".join(default) if isinstance(default, list) else str(default)
        )
        assert f"| `{setting['name']}` | {shown} |" in text, setting["name"]


def test_every_event_of_the_engine_is_in_the_architecture():
    text = (ROOT / "docs" / "architecture.md").read_text()
    for event in ("started", "step", "evaluated", "finished", "failed", "log"):
        assert f"| `{event}` |" in text


def test_every_kind_of_a_jobs_history_is_in_the_api_guide():
    text = (ROOT / "docs" / "api.md").read_text()
    kinds = [f"job.{status}" for status in ("queued", "started", "requeued", "resumed", *ENDED)] + [
        "training.started",
        "training.log",
        "checkpoint.kept",
        "checkpoint.let_go",
        "training.checkpoint",
        "training.checkpoint_damaged",
        "training.batch_halved",
        "training.early_stopped",
        "chain.passed",
        "chain.stopped",
    ]
    assert "`training.pausing`, `training.paused`" in text
    assert [kind for kind in kinds if f"| `{kind}` |" not in text] == []
