"""What people ask for: make something of an adapter to take along, and stop making it."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from apex.common import secrets
from apex.common.states import move
from audit.models import Act
from audit.services import record_act
from serving.exports.engine.converters import HOW_TO_GET
from serving.exports.leases import next_in_line, send_export
from serving.exports.models import EXPORT_MOVES, Export, ExportKind, ExportStatus
from serving.exports.words import KINDS, REPO, has_converters, hub_endpoint
from serving.guard import allowed_addresses
from serving.protocol import ApiError
from training.models import Adapter

WAITING_AT_MOST = 10  # of one person
LONGEST_TOKEN = 500


class ExportRefused(Exception):
    """It cannot be begun; the message says why and what to do. `field` names what was wrong, if something was."""

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


def start_export(
    *, adapter: Adapter, kind: str, options: dict[str, Any] | None = None, token: str = ""
) -> Export:
    """Begins an export of its owner's; one that is the same and not done yet is answered with. Raises `ExportRefused`.

    `token` is for the hub alone. It is sealed before it is stored.
    """
    wanted = checked_options(kind, options or {})
    refuse_what_cannot_be(adapter, kind)
    if kind == ExportKind.HUB:
        check_token(token)
    with transaction.atomic():
        unfinished = Export.objects.select_for_update().filter(owner=adapter.owner_id).unfinished()
        same = unfinished.filter(adapter=adapter, kind=kind, options=wanted).first()
        if same:
            return same
        if unfinished.count() >= WAITING_AT_MOST:
            raise ExportRefused(
                _("%(count)s exports of yours wait already; let them be made, or cancel some.")
                % {"count": WAITING_AT_MOST}
            )
        export = Export(owner=adapter.owner, adapter=adapter, kind=kind, options=wanted)
        if kind == ExportKind.HUB:
            export.sealed_secret = secrets.seal(token.strip(), export.secret_context)
        export.save(force_insert=True)
        record_act(Act.EXPORTED, subject=adapter, name=adapter.name, kind=kind)
        transaction.on_commit(lambda: send_export(export.pk), robust=True)
    return export


def cancel_export(*, export: Export) -> bool:
    """Stops it, whoever makes it; nothing of it is kept. False if it was over already."""
    won = move(export, ExportStatus.CANCELLED, moves=EXPORT_MOVES, sealed_secret="", ended_at=timezone.now())
    if won and (waiting := next_in_line()):
        send_export(waiting.pk)
    return won


def delete_export(*, export: Export) -> None:
    """The row goes, and with it the file; one that is not done yet is stopped first. What is at a hub stays there."""
    cancel_export(export=export)
    with transaction.atomic():
        record_act(Act.DELETED, subject=export)
        export.delete()


def checked_options(kind: str, options: dict[str, Any]) -> dict[str, Any]:
    """What the kind is told, with what was left out filled in."""
    if kind not in KINDS:
        raise ExportRefused(
            _("There is no export “%(kind)s”; choose one of %(kinds)s.")
            % {"kind": str(kind)[:40], "kinds": ", ".join(KINDS)},
            field="kind",
        )
    given = {name: value for name, value in options.items() if value not in (None, "")}
    if odd := sorted(set(given) - set(KINDS[kind].options)):
        raise ExportRefused(
            _("%(kind)s takes no “%(name)s”.") % {"kind": kind, "name": odd[0][:40]}, field=odd[0][:40]
        )
    if types := KINDS[kind].types:
        return {"type": one_of(given.get("type", types[0]), types, "type")}
    if kind == ExportKind.HUB:
        repo = str(given.get("repo", "")).strip()
        if not REPO.fullmatch(repo) or ".." in repo or "--" in repo or repo.endswith(".git"):
            raise ExportRefused(
                _("Name the repository as owner/name, such as “alice/fin-coach”."), field="repo"
            )
        return {
            "repo": repo,
            "what": one_of(given.get("what", "adapter"), ("adapter", "merged"), "what"),
            "private": given.get("private", True) is not False,
        }
    return {}


def one_of(value: Any, known: tuple[str, ...], field: str) -> str:
    if value not in known:
        raise ExportRefused(
            _("“%(value)s” is none of %(known)s.") % {"value": str(value)[:40], "known": ", ".join(known)},
            field=field,
        )
    return value


def refuse_what_cannot_be(adapter: Adapter, kind: str) -> None:
    if KINDS[kind].needs_converters and not has_converters():
        raise ExportRefused(
            _("The converters of llama.cpp are not on this machine.") + " " + HOW_TO_GET, field="kind"
        )
    if not adapter.base_model.is_on_this_machine:
        raise ExportRefused(
            _("The base model %(name)s is not on this machine any more.") % {"name": adapter.base_model}
        )
    if kind == ExportKind.HUB:
        try:
            allowed_addresses(hub_endpoint())
        except ApiError as problem:
            raise ExportRefused(str(problem)) from problem


def check_token(token: str) -> None:
    given = token.strip()
    if not given or len(given) > LONGEST_TOKEN or secrets.fault_of(given):
        raise ExportRefused(
            _("Give a token of the hub with write access; you make one there under Settings, Access Tokens."),
            field="token",
        )
