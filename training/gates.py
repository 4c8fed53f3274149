"""Gates between the stages of a chain: what a finished training must show. Each judges one job and changes nothing."""

from collections.abc import Callable
from dataclasses import dataclass

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from training.metrics import store
from training.models import TrainingJob

COMPARES = ("dpo", "orpo")


@dataclass(frozen=True)
class Verdict:
    is_open: bool
    words: str


class GateRefused(ValueError):
    """A gate that cannot be: the message names the value and what is possible."""


@dataclass(frozen=True)
class Gate:
    """`judge(job, percent)` says whether it opens. `methods`: after which trainings it can stand, all if empty."""

    label: str | Promise
    help: str | Promise
    judge: Callable[[TrainingJob, float], Verdict]
    default: float = 0.0  # of `percent`
    maximum: float | None = None  # None: the gate has no threshold
    methods: tuple[str, ...] = ()


def judge_nothing(job: TrainingJob, percent: float) -> Verdict:
    return Verdict(True, _("Nothing was asked of it."))


def judge_eval_loss(job: TrainingJob, percent: float) -> Verdict:
    """Open if the held-out loss fell by at least `percent` of what it was at the start of the training."""
    before, after = job.eval_loss_base, job.eval_loss
    if before is None or after is None or before <= 0:
        return Verdict(
            False,
            _(
                "No examples were kept aside, so nothing shows whether it got better. Keep some aside and start "
                "again, or go on anyway."
            ),
        )
    gained = 100 * (before - after) / before
    values = {
        "before": f"{before:.2f}",
        "after": f"{after:.2f}",
        "gained": shown(abs(gained)),
        "asked": shown(percent),
    }
    if gained >= percent:
        words = _(
            "On examples that it has never seen it was off by %(before)s before and by %(after)s after: "
            "%(gained)s %% better, where %(asked)s %% were asked for."
        )
        return Verdict(True, words % values)
    better = _("%(gained)s %% better") if gained >= 0 else _("%(gained)s %% worse")
    words = _(
        "On examples that it has never seen it was off by %(before)s before and by %(after)s after: %(change)s, where "
        "at least %(asked)s %% better was asked for. More or clearer examples help more than more steps."
    )
    return Verdict(False, words % {**values, "change": better % values})


def judge_rewards_accuracy(job: TrainingJob, percent: float) -> Verdict:
    """Open if it prefers the better answer in at least `percent` of the held-out comparisons."""
    accuracy = rewards_accuracy(job)
    if accuracy is None:
        return Verdict(
            False,
            _(
                "No comparisons were kept aside, so nothing shows which answers it prefers. Keep some aside and start "
                "again, or go on anyway."
            ),
        )
    values = {"reached": shown(100 * accuracy), "asked": shown(percent)}
    if 100 * accuracy >= percent:
        words = _(
            "It prefers the better answer in %(reached)s %% of the comparisons that it has never seen, where "
            "%(asked)s %% were asked for."
        )
        return Verdict(True, words % values)
    words = _(
        "It prefers the better answer in %(reached)s %% of the comparisons that it has never seen, where at least "
        "%(asked)s %% were asked for. Half is what guessing gives. Look whether the better answers are clearly better."
    )
    return Verdict(False, words % values)


def rewards_accuracy(job: TrainingJob) -> float | None:
    """0 to 1, at the step of which the adapter is, else at the last check; None if nothing was kept aside."""
    name = "eval_rewards_accuracy"
    at_end = job.facts.get("finished", {}).get(name)
    if at_end is not None:
        return float(at_end)
    steps, values = store.outline(job, [name])[name]
    if not len(steps):
        return None
    if job.best_step is not None:
        for block in store.read_blocks(job, job.best_step, job.best_step):
            known = block.known(name)[1]
            if len(known):
                return float(known[0])
    return float(values[-1])


def shown(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


GATES: dict[str, Gate] = {
    "none": Gate(gettext_lazy("Always go on"), gettext_lazy("Nothing is asked of it."), judge_nothing),
    "eval_loss": Gate(
        gettext_lazy("Better on unseen examples by at least"),
        gettext_lazy(
            "How far the held-out loss must have fallen, in per cent of what it was when the training began. 5 says "
            "that it learned something; below that, what follows builds on sand."
        ),
        judge_eval_loss,
        default=5.0,
        maximum=99.0,
    ),
    "rewards_accuracy": Gate(
        gettext_lazy("Prefers the better answer in at least"),
        gettext_lazy(
            "Of the comparisons that were kept aside, in per cent. Guessing gives 50; at 60 a taste shows."
        ),
        judge_rewards_accuracy,
        default=60.0,
        maximum=100.0,
        methods=COMPARES,
    ),
}


def settle_gate(gate: dict | None, method: str) -> dict:
    """`{"kind", "percent"}` with defaults filled in; nothing asked for is the gate `none`. Raises `GateRefused`."""
    gate = gate or {"kind": "none"}
    kind = gate.get("kind") if isinstance(gate, dict) else None
    if kind not in GATES:
        raise GateRefused(
            _("There is no gate %(kind)r; there are %(known)s.") % {"kind": kind, "known": ", ".join(GATES)}
        )
    found = GATES[kind]
    if found.methods and method not in found.methods:
        raise GateRefused(
            _("The gate %(kind)s can stand after %(methods)s, not after %(method)s.")
            % {"kind": kind, "methods": ", ".join(found.methods), "method": method}
        )
    if found.maximum is None:
        return {"kind": kind}
    percent = gate.get("percent", found.default)
    is_number = isinstance(percent, (int, float)) and not isinstance(percent, bool)
    if not is_number or not 0 <= percent <= found.maximum:
        raise GateRefused(
            _("percent of the gate %(kind)s is %(value)r; it should be between 0 and %(maximum)s.")
            % {"kind": kind, "value": percent, "maximum": shown(found.maximum)}
        )
    return {"kind": kind, "percent": float(percent)}


def judge(gate: dict, job: TrainingJob) -> Verdict:
    """What the gate says of a job that ended well."""
    return GATES[gate.get("kind", "none")].judge(job, gate.get("percent", 0.0))


def gate_words(gate: dict) -> str:
    """ "Better on unseen examples by at least 5 %"."""
    kind = gate.get("kind", "none")
    label = str(GATES[kind].label)
    return f"{label} {shown(gate['percent'])} %" if "percent" in gate else label
