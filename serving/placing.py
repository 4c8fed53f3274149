"""What shall be on a node, read from the rows, and what was found there, written to them."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from apex.common.states import move
from audit.models import Act
from audit.services import record_act
from serving.models import (
    COMING,
    MOVES,
    ON_NODES,
    Deployment,
    DeploymentEvent,
    Node,
    Placement,
    PlacementState,
    Status,
)
from serving.slots import Room, Wish, plan_slots

OURS = re.compile(r"a[0-9a-f]{12}-v\d{1,9}")
NO_ROOM, TOO_LARGE = "no_room", "rank_too_large"


@dataclass
class Work:
    """What to do on a node: names to unload, placements to load and check, in this order."""

    unload: list[str] = field(default_factory=list)
    load: list[Placement] = field(default_factory=list)
    here: set[str] = field(default_factory=set)


def work_for(node: Node, names: Collection[str]) -> Work:
    """Compares what shall be on the node with `names`, which it says it has, and writes down who waits and why."""
    here = {name for name in names if OURS.fullmatch(name)}
    strangers = len([name for name in names if name not in here and name != node.served_name])
    placements = placements_of(node)
    note_restart(node, here, placements)
    by_name = {each.deployment.serving_name: each for each in placements}
    open_ones = [each for each in placements if each.state != PlacementState.REFUSED]
    plan = plan_slots(
        [wish_for(each) for each in open_ones], here=here, room=room_of(node), strangers=strangers
    )
    for name in plan.rest:
        rest(by_name[name], NO_ROOM, why_it_rests(node))
    for name in plan.too_large:
        words = _("Its rank is %(rank)s; %(node)s takes %(most)s at most.")
        told = {"rank": rank_of(by_name[name].deployment), "node": node.name, "most": node.most_rank}
        refuse(by_name[name], TOO_LARGE, words % told)
    unchecked = [name for name in plan.keep if by_name[name].state != PlacementState.LOADED]
    return Work(unload=plan.unload, load=[by_name[name] for name in [*unchecked, *plan.load]], here=here)


def work_on_demand(node: Node) -> Work:
    """Of a node that loads by itself: only what was not checked there yet, and what nobody wants any more."""
    placements = placements_of(node)
    return Work(load=[each for each in placements if each.state == PlacementState.WANTED])


def has_work_on_demand(node: Node) -> bool:
    """Whether `work_on_demand` would find or change something; itself it only reads."""
    here, wanted = Placement.objects.filter(node=node), wanted_on(node)
    return (
        here.filter(state=PlacementState.WANTED).exists()
        or here.exclude(deployment__in=wanted).exists()
        or wanted.exclude(placements__node=node).exclude(status=Status.DRAINING).exists()
    )


def wanted_on(node: Node) -> QuerySet[Deployment]:
    """Deployments that shall be there."""
    wanted = Deployment.objects.on_nodes()
    if node.base_model_id:
        return wanted.filter(adapter__base_model=node.base_model_id)
    # The embedded process stands in for base models without a server that takes adapters.
    return wanted.exclude(adapter__base_model__in=Node.objects.for_adapters().values("base_model"))


def placements_of(node: Node) -> list[Placement]:
    """One for each deployment that shall be there; those of deployments that have ended go."""
    wanted = wanted_on(node)
    Placement.objects.filter(node=node).exclude(deployment__in=wanted).delete()
    missing = wanted.exclude(placements__node=node).exclude(status=Status.DRAINING)
    Placement.objects.bulk_create(
        [Placement(deployment=each, node=node) for each in missing], ignore_conflicts=True
    )
    related = ("deployment__adapter__base_model", "deployment__owner")
    return list(Placement.objects.filter(node=node).select_related("node", *related))


def note_restart(node: Node, here: set[str], placements: list[Placement]) -> None:
    """A server that has lost everything that it had has been started anew: all is loaded and checked again."""
    had = [each for each in placements if each.state == PlacementState.LOADED]
    lost = [each for each in had if each.deployment.serving_name not in here]
    if had and not here:
        note_started_again(node)
        lost = placements  # it may be another one now, with another base: what was refused gets a chance too
    for each in lost:
        each.state = PlacementState.WANTED
        each.save(update_fields=["state"])


def note_started_again(node: Node) -> None:
    """Its slots are free, and all that is there is checked anew: it may be another server now."""
    Node.objects.filter(pk=node.pk).update(loads_since_start=0, probe={})
    node.loads_since_start, node.probe = 0, {}
    Placement.objects.filter(node=node).exclude(state=PlacementState.RESTING).update(
        state=PlacementState.WANTED
    )


def wish_for(placement: Placement) -> Wish:
    deployment = placement.deployment
    used = deployment.last_used_at or deployment.active_at
    return Wish(
        name=deployment.serving_name,
        rank=rank_of(deployment),
        last_used=used.timestamp() if used else 0.0,
        is_needed=deployment.status in (*COMING, Status.DRAINING),
    )


def rank_of(deployment: Deployment) -> int:
    """Its rank as the training set it; what the files say is checked before they are loaded."""
    config = deployment.adapter.config
    rank = config.get("lora_r", 0) if isinstance(config, dict) else 0
    return rank if isinstance(rank, int) else 0


def room_of(node: Node) -> Room:
    left = None
    if node.needs_free_slot:
        left = max(0, node.adapter_slots - 1 - node.loads_since_start)
    return Room(node.most_adapters, node.most_rank, left)


def why_it_rests(node: Node) -> str:
    if node.needs_free_slot and node.loads_since_start >= node.adapter_slots - 1:
        return _(
            "%(node)s runs on a processor and has used up its slots since it was started; start it again, or with "
            "more slots."
        ) % {"node": node.name}
    return _("It waits on disk: %(node)s has no slot left. It comes back when it is asked.") % {
        "node": node.name
    }


def rest(placement: Placement, reason: str, message: str) -> None:
    if (placement.state, placement.message) == (PlacementState.RESTING, message):
        return
    placement.state, placement.reason, placement.message = PlacementState.RESTING, reason, message
    placement.save(update_fields=["state", "reason", "message"])


def refuse(placement: Placement, reason: str, message: str, parity: dict[str, Any] | None = None) -> None:
    placement.state, placement.reason, placement.message = PlacementState.REFUSED, reason, message
    placement.parity = parity or placement.parity
    placement.save(update_fields=["state", "reason", "message", "parity"])


def note_loaded(placement: Placement, parity: dict[str, Any], seconds: float) -> None:
    """It is there and answers as it was trained: from now on it is asked."""
    placement.state, placement.reason, placement.message = PlacementState.LOADED, "", ""
    placement.parity, placement.load_seconds = parity, round(seconds, 3)
    placement.loaded_at = timezone.now()
    placement.save(update_fields=["state", "reason", "message", "parity", "load_seconds", "loaded_at"])


def put_off(placement: Placement, message: str) -> None:
    """Nobody answered on the way: it is wanted as before, and the next look tries again."""
    placement.state, placement.message = PlacementState.WANTED, message
    placement.save(update_fields=["state", "message"])
    for status in (Status.LOADING, Status.CHECKING):
        move(placement.deployment, Status.WANTED, moves=MOVES, where={"status": status}, message=message)


# What people do to deployments, in the audit log.
ACTS = {
    "deployment.asked": Act.DEPLOYED,
    "deployment.rolled_back": Act.DEPLOYED,
    "deployment.unloading": Act.UNDEPLOYED,
    "deployment.unloaded": Act.UNDEPLOYED,
}


def add_event(
    deployment: Deployment, kind: str, message: str, *, by=None, data: dict[str, Any] | None = None
) -> DeploymentEvent:
    if by is not None and kind in ACTS:
        record_act(ACTS[kind], owner=by, subject=deployment.adapter, why=message, model=deployment.model_name)
    return DeploymentEvent.objects.create(
        deployment=deployment, by=by, kind=kind, message=message, data=data or {}
    )


def still_wanted(deployment: Deployment) -> bool:
    return Deployment.objects.filter(pk=deployment.pk, status__in=ON_NODES).exists()
