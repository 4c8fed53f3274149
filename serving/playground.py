"""What somebody can ask in the playground, and where what answered comes from, in words and links."""

from __future__ import annotations

from dataclasses import dataclass

from django.urls import reverse
from django.utils.translation import gettext as _

from base_models.models import BaseModel
from serving import selectors
from serving.backends.base import Target
from serving.models import Deployment
from training.models import Adapter, TrainingJob

MOST_LISTED = 200  # of each kind, newest first; a select with more helps nobody


@dataclass(frozen=True, slots=True)
class Choice:
    """A model as a select shows it; `name` is what programs call it."""

    name: str
    label: str


def own_choices(user) -> list[tuple[str, list[Choice]]]:
    """What of their own `user` can ask, in groups with their titles: at work, learned. Empty groups are left out."""
    at_work = Deployment.objects.for_user(user).active().select_related("adapter__base_model")
    deployed = [_deployed(each) for each in at_work.order_by("-active_at")[:MOST_LISTED]]
    adapters = selectors.adapters_for(user).order_by("-created_at")[:MOST_LISTED]
    known = {choice.name for choice in deployed}
    learned = [Choice(each.model_id, _learned(each)) for each in adapters if each.model_id not in known]
    return [
        (title, found)
        for title, found in ((_("At work"), deployed), (_("Learned (adapters)"), learned))
        if found
    ]


def base_choices(user) -> list[Choice]:
    bases = selectors.base_models_for(user).order_by("display_name")
    return [Choice(each.name, each.display_name) for each in bases]


def columns_to_begin_with(own: list[tuple[str, list[Choice]]], bases: list[Choice]) -> list[str]:
    """The newest of one's own beside a base model; else the first base models, two at most."""
    names = [choice.name for choice in bases]
    return [own[0][1][0].name, *names[:1]] if own else names[:2]


def lineage_words(user, target: Target) -> list[dict[str, str]]:
    """`[{"word", "name", "url"}]`: what answered, what it learned from, and on which base model."""
    lineage = target.lineage
    if "base-model" in lineage:
        return [_base_link(_("as it came:"), BaseModel.objects.for_user(user).get(pk=lineage["base-model"]))]
    jobs = TrainingJob.objects.for_user(user).select_related("dataset_version__dataset", "base_model")
    job = jobs.get(pk=lineage["job"])
    version = job.dataset_version
    said = [
        _link(_("learned in"), _step_name(job, lineage), reverse("training:job-detail", args=[job.pk])),
        _link(
            _("from"), _("%(name)s, version %(number)s") % {"name": version.dataset.name, "number": version.number},
            reverse("datasets:version-detail", args=[version.dataset_id, version.number]),
        ),
        _base_link(_("on"), job.base_model),
    ]  # fmt: skip
    deployment = Deployment.objects.for_user(user).filter(serving_name=target.deployment).first()
    if target.deployment and deployment:
        words = _("%(name)s, version %(number)s") % {
            "name": deployment.model_name,
            "number": deployment.version,
        }
        said.insert(0, _link(_("at work as"), words, reverse("serving:work-detail", args=[deployment.pk])))
    return said


def _step_name(job: TrainingJob, lineage: dict[str, str]) -> str:
    return (
        _("%(name)s, step %(step)s") % {"name": job.name, "step": lineage["step"]}
        if "step" in lineage
        else job.name
    )


def _base_link(word: str, base: BaseModel) -> dict[str, str]:
    return _link(word, base.display_name, reverse("base_models:model-detail", args=[base.name]))


def _link(word: str, name: str, url: str) -> dict[str, str]:
    return {"word": word, "name": name, "url": url}


def _deployed(deployment: Deployment) -> Choice:
    words = _("%(name)s, version %(number)s, on %(base)s") % {
        "name": deployment.adapter.name,
        "number": deployment.version,
        "base": deployment.adapter.base_model.display_name,
    }
    return Choice(deployment.model_name, words)


def _learned(adapter: Adapter) -> str:
    said = {"name": adapter.name, "base": adapter.base_model.display_name, "step": adapter.step}
    words = _("%(name)s on %(base)s") if adapter.step is None else _("%(name)s, step %(step)s, on %(base)s")
    # Two of the same name are told apart by their day.
    return f"{words % said} · {adapter.created_at:%d.%m. %H:%M}"
