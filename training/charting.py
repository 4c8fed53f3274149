"""Which series are shown as charts, under which words."""

import json

from django.utils.translation import gettext as _

from training.metrics import store
from training.models import TrainingJob

HERO = {"loss", "eval_loss"}
AXES = {"epoch", "tokens", "time"}
USUAL = {"learning_rate", "grad_norm", "tokens_per_second", "memory_bytes"}
REWARDS = {"rewards_chosen", "rewards_rejected", "rewards_margin", "rewards_accuracy"}


def chart_list() -> list[dict]:
    """Every chart with a name of its own: plain words, the field's term, unit, and `{series: name of its line}`."""
    practice, unseen = _("practice"), _("unseen")
    return [
        chart(
            _("Preferred and other answers"),
            _("rewards"),
            {"rewards_chosen": _("preferred"), "rewards_rejected": _("other")},
        ),
        chart(
            _("How far apart they are"),
            _("reward margin"),
            {"rewards_margin": practice, "eval_rewards_margin": unseen},
        ),
        chart(
            _("How often the preferred one wins"),
            _("reward accuracy"),
            {"rewards_accuracy": practice, "eval_rewards_accuracy": unseen},
            "percent",
        ),
        chart(_("How far each step goes"), _("learning rate"), {"learning_rate": ""}),
        chart(_("How hard each step pulls"), _("gradient norm"), {"grad_norm": ""}),
        chart(_("Speed"), _("tokens a second"), {"tokens_per_second": ""}),
        chart(_("Memory"), _("at its highest"), {"memory_bytes": ""}, "bytes"),
    ]


def chart(title: str, term: str, series: dict[str, str], unit: str = "") -> dict:
    return {"title": title, "term": term, "series": series, "unit": unit}


def charts(job: TrainingJob) -> list[dict]:
    """The small charts of a job's page: of what it measures, or while it has not yet, of what its method will."""
    known = store.names_at_its_ends(job)
    if not known and not job.has_ended:
        known = USUAL | (REWARDS if job.method in ("dpo", "orpo", "kto") else set())
    listed = [entry for entry in chart_list() if known & set(entry["series"])]
    told = {name for entry in listed for name in entry["series"]}
    listed += [chart(name, "", {name: ""}) for name in sorted(known - told - HERO - AXES)]
    return [
        entry | {"names": ",".join(entry["series"]), "json": json.dumps(entry["series"])} for entry in listed
    ]
