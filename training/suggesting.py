"""Sentences for what to change when a training is too big."""

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from training.engine.memory_parts import gb
from training.engine.suggestions import Change


def sentence(change: Change) -> str:
    """What it does, what it saves, and what it costs."""
    words = [word for name in change.changes if (word := _setting_words(name, change.changes))]
    return " ".join([*words, _saved(change)])


def button(change: Change) -> str:
    if change.code == "together":
        return _("Do all of this")
    return {
        "nf4": _("Squeeze the base model"),
        "recompute": _("Recompute"),
        "batch": _("Fewer at once"),
        "length": _("Shorter examples"),
        "rank": _("A smaller adapter"),
        "split": _("Split the base model"),
    }[change.code]


def _saved(change: Change) -> str:
    needed = {"saved": gb(change.saves_bytes), "needed": gb(change.after.memory.total)}
    if change.fits:
        return _("Saves %(saved)s: then it needs %(needed)s, and fits.") % needed
    return _("Saves %(saved)s: then it needs %(needed)s, still too much.") % needed


def _setting_words(name: str, changes: dict) -> str:
    """One sentence for each setting that is named by itself; those that only follow from another have none."""
    value = changes[name]
    return {
        "quantization": lambda: _("Keep the base model in 4 bits while it learns (QLoRA): a bit slower."),
        "activation_checkpointing": lambda: _("Recompute in place of keeping: about a third slower."),
        "batch_size": lambda: (
            ngettext(
                "Only %(count)s example at once, as many in each step as before.",
                "Only %(count)s examples at once, as many in each step as before.",
                value,
            )
            % {"count": value}
        ),
        "max_length": lambda: (
            _("Examples of at most %(count)s tokens: longer ones lose their oldest turns.") % {"count": value}
        ),
        "lora_r": lambda: _("A smaller adapter (rank %(rank)s): it can learn less.") % {"rank": value},
        "spread": lambda: _(
            "Split the base model over the GPUs (FSDP): slower, as they talk to each other more."
        ),
    }.get(name, lambda: "")()


def model_sentence(model, now, after) -> str:
    return _("Begin with %(name)s, which is smaller: it needs %(needed)s and fits, and saves %(saved)s.") % {
        "name": model.display_name,
        "needed": gb(after.memory.total),
        "saved": gb(now.memory.total - after.memory.total),
    }


def model_button(model) -> str:
    return _("Take %(name)s") % {"name": model.display_name}


def gpus_sentence(count: int, place: str, after) -> str:
    return _(
        "Split the base model over %(count)s GPUs of %(place)s (FSDP): each holds %(needed)s, and it fits."
    ) % {
        "count": count,
        "place": place,
        "needed": gb(after.memory.total),
    }


def gpus_button(count: int) -> str:
    return _("Use %(count)s GPUs") % {"count": count}
