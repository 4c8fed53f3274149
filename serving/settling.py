"""What follows for a deployment from what was found on the nodes: it goes to work, is refused, or has ended."""

from __future__ import annotations

import logging

from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.notices import notify
from apex.common.states import move
from serving.models import MOVES, Deployment, Node, Placement, PlacementState, Status
from serving.placing import add_event

logger = logging.getLogger(__name__)


def settle_all() -> None:
    for deployment in Deployment.objects.coming().select_related("adapter__base_model", "owner"):
        settle(deployment)


def settle(deployment: Deployment) -> None:
    """A deployment on its way: to work if one server has it ready, refused if none will, else it waits and says why."""
    placements = list(deployment.placements.select_related("node"))
    ready = next((each for each in placements if each.state == PlacementState.LOADED), None)
    pool = set(Node.objects.pool_of(deployment.adapter.base_model).values_list("pk", flat=True))
    refused = [each for each in placements if each.state == PlacementState.REFUSED and each.node_id in pool]
    if ready:
        activate(deployment, ready)
    elif refused and len(refused) == len(pool):
        refuse(deployment, refused[0])
    else:
        note_waiting(deployment, placements, pool)


def activate(deployment: Deployment, ready: Placement) -> bool:
    """Takes the place of the version that is active, in one step: no question finds none or two of them."""
    now = timezone.now()
    try:
        with transaction.atomic():
            # The lock keeps two versions of one line from passing each other.
            rest = (
                Deployment.objects.select_for_update().filter(line=deployment.line).exclude(pk=deployment.pk)
            )
            before = [each for each in rest if each.status == Status.ACTIVE]
            for each in before:
                move(each, Status.DRAINING, moves=MOVES, draining_at=now)
            # A look that broke off may have left it a step behind what its placement says.
            for step in (Status.LOADING, Status.CHECKING):
                move(deployment, step, moves=MOVES)
            changes = {
                "active_at": now,
                "last_used_at": now,
                "reason": "",
                "message": "",
                "parity": ready.parity,
            }
            if not move(deployment, Status.ACTIVE, moves=MOVES, **changes):
                raise LostRace
            words = _("At work on %(node)s.") % {"node": ready.node.name}
            add_event(deployment, "deployment.active", words, data={"parity": ready.parity})
            for each in before:
                told = {"version": deployment.version}
                add_event(each, "deployment.draining", _("Version %(version)s has taken its place.") % told)
            notify(
                owner=deployment.owner,
                text=_("%(name)s is at work.") % {"name": deployment.adapter.name},
                url=f"/work/{deployment.pk}/",
                kind="deployment",
            )
    except (LostRace, IntegrityError):
        logger.info("%s was moved by somebody else in the same moment", deployment)
        return False
    return True


class LostRace(Exception):
    """Somebody else moved it first; nothing of this attempt stays."""


def refuse(deployment: Deployment, placement: Placement) -> bool:
    """Whatever version was at work before stays at work."""
    with transaction.atomic():
        changes = {"reason": placement.reason, "message": placement.message, "parity": placement.parity}
        won = move(deployment, Status.REFUSED, moves=MOVES, **changes)
        if won:
            add_event(
                deployment,
                "deployment.refused",
                placement.message,
                data={"reason": placement.reason, "node": placement.node.name, "parity": placement.parity},
            )
            words = _("%(name)s was not put to work: %(why)s")
            notify(
                owner=deployment.owner,
                text=words % {"name": deployment.adapter.name, "why": placement.message},
                url=f"/work/{deployment.pk}/",
                kind="deployment",
            )
    return won


def note_waiting(deployment: Deployment, placements: list[Placement], pool: set) -> None:
    message = next((each.message for each in placements if each.message), "")
    if not pool:
        message = _("No server of its base model is in use.")
    if message != deployment.message:
        Deployment.objects.coming().filter(pk=deployment.pk).update(message=message)


def end(deployment: Deployment) -> bool:
    """A draining deployment has given its last answer."""
    now = timezone.now()
    is_replaced = Deployment.objects.filter(line=deployment.line, status=Status.ACTIVE).exists()
    status = Status.REPLACED if is_replaced else Status.UNLOADED
    with transaction.atomic():
        won = move(deployment, status, moves=MOVES, ended_at=now)
        if won:
            words = _("Its last answer is given; the servers forget it.")
            add_event(deployment, f"deployment.{status}", words)
    return won
