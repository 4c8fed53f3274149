"""Says in one plain sentence what a curve means."""

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from training.models import Status, TrainingJob

WINDOW = 3  # checks looked back on


def verdict(job: TrainingJob, held: list[list]) -> str:
    """What the curve means right now. `held`: `[[step, held-out loss], …]` in order."""
    if job.status == Status.QUEUED:
        return _("It waits for its turn.")
    if job.status == Status.SUCCEEDED:
        return final_words(job)
    if job.status == Status.PAUSING:
        return _("It pauses at the end of this step, as soon as its state is saved.")
    if job.status == Status.PAUSED:
        return paused_words(job)
    if job.status != Status.RUNNING:
        return job.message
    if not job.total_steps:
        return _("It is being prepared: the base model is loaded and your examples are read.")
    if len(held) < 2:
        return _("It has begun. The first word on how it does comes with the next check.")
    return trend_words(held)


def paused_words(job: TrainingJob) -> str:
    saved = job.checkpoints.filter(is_damaged=False).first()
    if saved is None:
        return _("It rests. It has saved nothing yet, so it begins from the start when you let it go on.")
    return _("It rests. Everything up to step %(step)s is saved, and it goes on from there.") % {
        "step": saved.step
    }


def trend_words(held: list[list]) -> str:
    first, last = held[0][1], held[-1][1]
    best_step, best = min(held, key=lambda point: point[1])
    before = held[max(0, len(held) - 1 - WINDOW)][1]
    if last > best * 1.03 and held[-1][0] > best_step:
        if best_step == 0:
            return _(
                "Getting worse on examples that it has never seen, and never better than before it learned. Stop it: "
                "slower learning or clearer examples will help."
            )
        return _(
            "Getting worse on examples that it has never seen: it learns yours by heart. We keep the best point, step "
            "%(step)s."
        ) % {"step": best_step}
    if before - last < 0.02 * first:
        return _("Levelling off: more steps change little now. Stopping soon is fine.")
    return _("Learning fast: its answers come closer to yours.")


def notes(job: TrainingJob) -> list[str]:
    """What else is worth knowing of how it went: early stop, best point, interruptions, smaller passes."""
    return [words for words in (_best_words(job), *_event_words(job), _resumed_words(job)) if words]


def _best_words(job: TrainingJob) -> str:
    """Only once it has ended: that the adapter is not that of the last step."""
    if job.status != Status.SUCCEEDED or not job.best_step or job.best_step >= job.step:
        return ""
    return _("It was best at step %(best)s of %(steps)s, and that is what is kept.") % {
        "best": job.best_step,
        "steps": job.step,
    }


def _event_words(job: TrainingJob) -> list[str]:
    """The engine's own sentences: that it stopped early; of halved passes the last one, as the page is about now."""
    kinds = ("training.early_stopped", "training.batch_halved")
    said = dict(job.events.filter(kind__in=kinds).order_by("id").values_list("kind", "message"))
    return [said[kind] for kind in kinds if kind in said]


def _resumed_words(job: TrainingJob) -> str:
    """How often it went on after a break, and from which step the last time."""
    later = [attempt for attempt in job.attempts.all() if attempt.token > 1]
    went_on = [attempt for attempt in later if attempt.resumed_step]
    if not went_on:
        return ""
    last = max(went_on, key=lambda attempt: attempt.token)
    words = ngettext(
        "It went on once after a break, from step %(step)s; nothing is missing from the curve.",
        "It went on %(count)s times after a break, the last time from step %(step)s; nothing is missing from the "
        "curve.",
        len(went_on),
    )
    return words % {"count": len(went_on), "step": last.resumed_step}


def final_words(job: TrainingJob) -> str:
    """What changed, in one sentence, with the held-out loss of base and tuned."""
    before, after = job.eval_loss_base, job.eval_loss
    if before is None or after is None:
        return _(
            "It has learned. No examples were kept aside, so there is no number for what it makes of unseen ones."
        )
    count = job.dataset_version.held_out_count
    if after < before:
        words = ngettext(
            "On %(count)s example that it has never seen, its answers were off by %(before)s before and by "
            "%(after)s after. Lower is better.",
            "On %(count)s examples that it has never seen, its answers were off by %(before)s before and by "
            "%(after)s after. Lower is better.",
            count,
        )
    else:
        words = ngettext(
            "On %(count)s example that it has never seen, it did not get better: off by %(before)s before and "
            "%(after)s after. More or clearer examples will help more than more steps.",
            "On %(count)s examples that it has never seen, it did not get better: off by %(before)s before and "
            "%(after)s after. More or clearer examples will help more than more steps.",
            count,
        )
    return words % {"count": count, "before": f"{before:.2f}", "after": f"{after:.2f}"}
