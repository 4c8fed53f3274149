"""What the pages of deployments and servers show of rows."""

from __future__ import annotations

from dataclasses import dataclass, field

from django.utils.translation import gettext as _

from serving.models import (
    COMING,
    Deployment,
    Health,
    Node,
    Placement,
    PlacementState,
    Status,
)
from serving.parity_words import divergence_words, drift_words, headline, words_for
from training.models import Adapter

# The shape that stands for each status (components/status.html).
SHAPES = {
    Status.WANTED: "queued",
    Status.LOADING: "running",
    Status.CHECKING: "running",
    Status.ACTIVE: "succeeded",
    Status.REFUSED: "failed",
    Status.DRAINING: "pausing",
    Status.UNLOADED: "cancelled",
    Status.REPLACED: "cancelled",
}
HEALTH_SHAPES = {
    Health.UP: "succeeded",
    Health.UNKNOWN: "queued",
    Health.AWAY: "crashed",
    Health.WRONG: "failed",
    Health.MIXING: "failed",
}
PLACEMENT_SHAPES = {
    PlacementState.LOADED: "succeeded",
    PlacementState.WANTED: "queued",
    PlacementState.RESTING: "paused",
    PlacementState.REFUSED: "failed",
}


@dataclass
class Work:
    """A deployment with what a page says of it."""

    deployment: Deployment
    shape: str
    says: str
    details: list[str] = field(default_factory=list)
    places: list[dict] = field(default_factory=list)

    @property
    def headline(self) -> str:
        """What it says, without the figures where the page shows them by themselves."""
        is_compared = self.deployment.status == Status.ACTIVE and self.deployment.parity
        return headline(self.deployment.parity) if is_compared else self.says

    @property
    def is_moving(self) -> bool:
        """Whether the page has to look again soon."""
        return self.deployment.status in (*COMING, Status.DRAINING)


def work_of(deployment: Deployment) -> Work:
    """`deployment` comes with its adapter, and its placements with their nodes."""
    found = deployment.parity
    details = [words for words in (divergence_words(found), drift_words(found)) if words] if found else []
    return Work(
        deployment=deployment,
        shape=SHAPES[Status(deployment.status)],
        says=says(deployment),
        details=details,
        places=[place_told(each) for each in deployment.placements.all()],
    )


def says(deployment: Deployment) -> str:
    """What is going on, in a sentence."""
    match deployment.status:
        case Status.ACTIVE:
            return words_for(deployment.parity)
        case Status.REFUSED:
            return deployment.message
        case Status.WANTED:
            return deployment.message or _("A server takes it in a moment.")
        case Status.LOADING:
            return _("A server is loading it.")
        case Status.CHECKING:
            return _("Its answers are compared with those of the training.")
        case Status.DRAINING:
            return _("It gives its last answers; new questions go elsewhere.")
        case Status.REPLACED:
            return _("Another version has taken its place.")
    return _("It was taken down.")


def place_told(placement: Placement) -> dict:
    node = placement.node
    return {
        "node": node,
        "state": placement.get_state_display(),
        "shape": PLACEMENT_SHAPES[PlacementState(placement.state)],
        "message": placement.message,
        "load_seconds": placement.load_seconds,
        "loaded_at": placement.loaded_at,
        "figures": node.figures,
        "health": node.get_health_display(),
        "health_shape": HEALTH_SHAPES[Health(node.health)],
    }


def works_for(user) -> list[Work]:
    """What is at work or on its way, and what was refused, newest first."""
    rows = (
        Deployment.objects.for_user(user)
        .exclude(status__in=[Status.UNLOADED, Status.REPLACED])
        .select_related("adapter__base_model")
        .prefetch_related("placements__node")
    )
    return [work_of(each) for each in rows]


def versions_of(deployment: Deployment):
    """All versions of the assistant, newest first."""
    line = Deployment.objects.filter(line=deployment.line)
    return line.select_related("adapter").order_by("-version")


def can_roll_back(deployment: Deployment) -> bool:
    if deployment.status != Status.ACTIVE:
        return False
    before = Deployment.objects.filter(line=deployment.line, status__in=[Status.REPLACED, Status.DRAINING])
    return before.exists()


def next_adapters(deployment: Deployment):
    """The owner's other adapters, which could take its place, newest first."""
    others = Adapter.objects.filter(owner=deployment.owner_id).exclude(pk=deployment.adapter_id)
    return others.select_related("base_model", "job")[:50]


def work_of_adapter(adapter: Adapter) -> Work | None:
    """The newest deployment of an adapter that is not over."""
    rows = Deployment.objects.filter(adapter=adapter).exclude(status__in=[Status.UNLOADED, Status.REPLACED])
    found = rows.select_related("adapter").prefetch_related("placements__node").first()
    return work_of(found) if found else None


def servers() -> list[dict]:
    """Every server with its slots, load and health, for whoever runs the house."""
    nodes = Node.objects.select_related("base_model").prefetch_related(
        "placements__deployment__adapter", "placements__deployment__owner"
    )
    return [server_told(node) for node in nodes]


def server_told(node: Node) -> dict:
    placements = list(node.placements.all())
    held = [each for each in placements if each.state == PlacementState.LOADED]
    return {
        "node": node,
        "shape": HEALTH_SHAPES[Health(node.health)] if node.is_enabled else "paused",
        "health": node.get_health_display() if node.is_enabled else _("out of use"),
        "placements": placements,
        "held": len(held),
        "resting": sum(each.state == PlacementState.RESTING for each in placements),
        "figures": node.figures,
    }


def load_words(figures: dict) -> str:
    """`3 answers at once, 1 waits · 120 tokens a second · first word after 0.05 s`."""
    if not figures:
        return ""
    parts = [_("%(running)s answers under way") % figures]
    if figures.get("waiting"):
        parts.append(_("%(waiting)s waiting") % figures)
    if figures.get("tokens_per_second") is not None:
        parts.append(_("%(tokens_per_second)s tokens a second") % figures)
    if figures.get("first_token") is not None:
        parts.append(_("first word after %(seconds)s s") % {"seconds": f"{figures['first_token']:.2f}"})
    return " · ".join(parts)
