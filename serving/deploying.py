"""What people ask for: put an adapter to work, put another in its place, go back, take it down."""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from apex.common.states import move
from serving.models import (
    COMING,
    MOVES,
    Deployment,
    Node,
    PlacementState,
    Status,
    model_name_of,
    new_line,
    serving_name_of,
)
from serving.nudges import nudge_on_commit
from serving.placing import add_event
from training.models import Adapter


class DeployRefused(Exception):
    """It cannot be done; the message says why and what to do. `field` names what was wrong, if something was."""

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


def deploy_adapter(*, adapter: Adapter, by, why: str = "") -> Deployment:
    """Puts an adapter to work as an assistant of its own; asked twice, still once. Raises `DeployRefused`."""
    with transaction.atomic():
        adapter = lock(adapter)
        there = Deployment.objects.filter(adapter=adapter, status__in=[*COMING, Status.ACTIVE]).first()
        if there:
            return there
        refuse_without_server(adapter)
        line = new_line()
        deployment = Deployment.objects.create(
            owner=adapter.owner,
            adapter=adapter,
            line=line,
            model_name=model_name_of(adapter, line),
            serving_name=serving_name_of(line, 1),
        )
        add_event(deployment, "deployment.asked", why or _("Put to work."), by=by)
        nudge_on_commit()
    return deployment


def switch_deployment(*, deployment: Deployment, adapter: Adapter, by, why: str = "") -> Deployment:
    """The next version of an assistant. The one at work goes on until the new one is loaded and was compared.

    Raises `DeployRefused`.
    """
    with transaction.atomic():
        adapter = lock(adapter)
        versions = lock_line(deployment)
        refuse_coming(versions)
        active = next((each for each in versions if each.status == Status.ACTIVE), None)
        if active is None:
            raise DeployRefused(
                _("No version of this assistant is at work. Put the adapter to work by itself.")
            )
        if active.adapter_id == adapter.pk:
            raise DeployRefused(_("%(name)s is at work already.") % {"name": adapter.name}, field="adapter")
        if adapter.owner_id != deployment.owner_id:
            raise DeployRefused(_("This adapter is somebody else's."), field="adapter")
        refuse_without_server(adapter)
        number = max(each.version for each in versions) + 1
        new = Deployment.objects.create(
            owner=deployment.owner,
            adapter=adapter,
            line=deployment.line,
            version=number,
            model_name=deployment.model_name,
            serving_name=serving_name_of(deployment.line, number),
            replaces=active,
        )
        told = {"version": active.version}
        words = why or _("To take the place of version %(version)s.") % told
        add_event(new, "deployment.asked", words, by=by)
        nudge_on_commit()
    return new


def roll_back(*, deployment: Deployment, by, why: str = "") -> Deployment:
    """Puts the version to work again that was at work before. Returns it. Raises `DeployRefused`."""
    with transaction.atomic():
        versions = lock_line(deployment)
        refuse_coming(versions)
        active = next((each for each in versions if each.status == Status.ACTIVE), None)
        left = [each for each in versions if each.status in (Status.REPLACED, Status.DRAINING)]
        if active is None or not left:
            raise DeployRefused(_("There is no version before this one to go back to."))
        before = max(left, key=lambda each: (each.active_at is not None, each.active_at or each.created_at))
        words = why or _("Back from version %(version)s.") % {"version": active.version}
        want_again(before, replaces=active, by=by, kind="deployment.rolled_back", words=words)
    return before


def try_again(*, deployment: Deployment, by, why: str = "") -> bool:
    """Puts a deployment that was refused to the servers once more. False if it is not refused (any more)."""
    with transaction.atomic():
        refuse_coming([each for each in lock_line(deployment) if each.pk != deployment.pk])
        if deployment.status != Status.REFUSED:
            return False
        words = why or _("Tried once more.")
        return want_again(
            deployment, replaces=deployment.replaces, by=by, kind="deployment.asked", words=words
        )


def want_again(deployment: Deployment, *, replaces, by, kind: str, words: str) -> bool:
    # What a server refused is shown to it once more; what is still loaded and equal need not be.
    deployment.placements.filter(state=PlacementState.REFUSED).delete()
    changes = {"replaces": replaces, "reason": "", "message": "", "ended_at": None, "draining_at": None}
    won = move(deployment, Status.WANTED, moves=MOVES, **changes)
    if won:
        add_event(deployment, kind, words, by=by)
        nudge_on_commit()
    return won


def unload_deployment(*, deployment: Deployment, by, why: str = "") -> bool:
    """Takes it down: answers under way are finished first. False if it was down already."""
    now = timezone.now()
    with transaction.atomic():
        if move(deployment, Status.DRAINING, moves=MOVES, draining_at=now):
            kind, words = "deployment.unloading", _("Taken down; its last answers are finished.")
        elif call_off(deployment, now):
            kind, words = "deployment.unloaded", _("Called off before it was at work.")
        else:
            return False
        add_event(deployment, kind, why or words, by=by)
        nudge_on_commit()
    return True


def call_off(deployment: Deployment, now) -> bool:
    """Ends one that is not at work."""
    return any(
        move(deployment, Status.UNLOADED, moves=MOVES, where={"status": status}, ended_at=now)
        for status in (*COMING, Status.REFUSED)
    )


def lock(adapter: Adapter) -> Adapter:
    """The adapter's row, which nobody deletes or puts to work meanwhile. Raises `DeployRefused` if it is gone."""
    found = (
        Adapter.objects.select_for_update(of=("self",))
        .select_related("owner", "base_model")
        .filter(pk=adapter.pk)
        .first()
    )
    if found is None:
        raise DeployRefused(_("This adapter was deleted meanwhile."), field="adapter")
    return found


def lock_line(deployment: Deployment) -> list[Deployment]:
    """All versions of its assistant, so that of two who ask in the same moment one sees what the other did."""
    versions = list(
        Deployment.objects.select_for_update(of=("self",))
        .select_related("adapter")
        .filter(line=deployment.line)
        .order_by("version")
    )
    deployment.refresh_from_db(fields=["status", "replaces"])
    return versions


def refuse_coming(versions: list[Deployment]) -> None:
    coming = next((each for each in versions if each.is_coming), None)
    if coming:
        raise DeployRefused(
            _("Version %(version)s is on its way; wait for it, or call it off.") % {"version": coming.version}
        )


def refuse_without_server(adapter: Adapter) -> None:
    if not Node.objects.pool_of(adapter.base_model).exists():
        raise DeployRefused(
            _("No server of %(base)s is in use. Whoever runs this machine can add one.")
            % {"base": adapter.base_model.display_name}
        )
