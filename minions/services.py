"""What people ask for: make, change and delete a minion, and its token. Conversations have services of their own."""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Max
from django.utils import timezone
from django.utils.translation import gettext as _
from knox.crypto import hash_token

from apex.common.access import owned_or_404
from audit.models import Act
from audit.services import record_act
from knowledge.models import KnowledgeBase
from minions import selectors, spending
from minions.models import Minion, MinionToken, MinionVersion
from minions.recipes import BadChain, ChainReader, needs, recipe_of
from training.models import Adapter

TOKEN_PREFIX = "minion_"
MOST_MINIONS = 500  # of one person
# What a person may set; the adapter, the knowledge bases and the chain are checked apart.
PLAIN = (
    "name", "persona", "mode", "adapter_role", "choosing", "style_tokens", "knowledge_tokens", "history_tokens",
    "answer_tokens", "passages", "temperature", "on_style_failure", "on_knowledge_failure", "on_answer_failure",
    "requests_per_minute",
)  # fmt: skip


class MinionRefused(ValueError):
    """No such minion can be; the message says why, `field` what to change."""

    def __init__(self, message: str, field: str | None = None):
        super().__init__(message)
        self.field = field


def create_minion(*, owner, **values: Any) -> Minion:
    """Makes a minion and its first version. `values` are those of `change_minion`. Raises MinionRefused."""
    if Minion.objects.for_user(owner).count() >= MOST_MINIONS:
        raise MinionRefused(
            _("There are %(most)d minions already; delete one first.") % {"most": MOST_MINIONS}
        )
    return _save(Minion(owner=owner), values)


def change_minion(*, minion: Minion, **values: Any) -> Minion:
    """Changes what `values` names; what shapes answers becomes a new version, and holds from the next question on.

    `adapter` is an `Adapter` or None, `knowledge_bases` a list of them, `chain` a list as `recipes.ChainReader` takes
    it; all of them the owner's. Raises MinionRefused.
    """
    return _save(minion, values)


def _save(minion: Minion, values: dict[str, Any]) -> Minion:
    owner, values = minion.owner, dict(values)
    bases = values.pop("knowledge_bases", None)
    if unknown := set(values) - {*PLAIN, "adapter", "chain"}:
        raise TypeError(f"a minion has no {', '.join(sorted(unknown))}")
    if "chain" in values:
        values["chain"] = _read_chain(owner, values["chain"])
    if (adapter := values.get("adapter")) is not None:
        owned_or_404(Adapter, owner, pk=adapter.pk)
    for base in bases or ():
        owned_or_404(KnowledgeBase, owner, pk=base.pk)
    for name, value in values.items():
        setattr(minion, name, value)
    minion.name = minion.name.strip()
    _refuse(minion)
    try:
        with transaction.atomic():
            minion.save()
            if bases is not None:
                minion.knowledge_bases.set(bases)
            keep_version(minion=minion)
            spending.name_budgets(minion)
    except IntegrityError as problem:
        raise MinionRefused(
            _("You have a minion called %(name)s already; choose another name.") % {"name": minion.name},
            "name",
        ) from problem
    return minion


def _read_chain(owner, given: Any) -> list[dict[str, Any]]:
    reader = ChainReader(selectors.provider_names(), selectors.keys_for(owner))
    try:
        return reader.read(given)
    except BadChain as problem:
        raise MinionRefused(str(problem), "chain") from problem


def _refuse(minion: Minion) -> None:
    """Raises MinionRefused for a name that cannot be one, and for a minion that could never answer."""
    if not minion.name or "\x00" in minion.name or "\x00" in minion.persona:
        raise MinionRefused(_("A minion needs a name."), "name")
    lacks = needs({"mode": minion.mode, "adapter": minion.adapter, "chain": minion.chain})
    for field, message in lacks.items():
        raise MinionRefused(message, field)


def keep_version(*, minion: Minion) -> MinionVersion:
    """The version that says what `minion` is now: the newest one, or a new one where something has changed.

    Of two at once the second finds the number taken and takes the next.
    """
    recipe = recipe_of(minion, minion.knowledge_bases.values_list("pk", flat=True)).as_json()
    # As the database keeps it: tuples become lists there.
    recipe = selectors.as_stored(recipe)
    with transaction.atomic():
        Minion.objects.select_for_update().filter(pk=minion.pk).first()
        newest = minion.versions.first()
        if newest is not None and newest.recipe == recipe:
            return newest
        last = minion.versions.aggregate(last=Max("number"))["last"] or 0
        return MinionVersion.objects.create(minion=minion, number=last + 1, recipe=recipe)


def delete_minion(*, minion: Minion) -> None:
    """With its token, versions, conversations, answers and budgets. What was used stays in the ledger."""
    with transaction.atomic():
        record_act(Act.DELETED, subject=minion)
        spending.end_budgets(minion)
        minion.delete()


def make_token(*, minion: Minion) -> tuple[MinionToken, str]:
    """A new token and its text, which is kept nowhere; the one before opens nothing from now on."""
    text = f"{TOKEN_PREFIX}{secrets.token_hex(16)}"
    with transaction.atomic():
        MinionToken.objects.filter(minion=minion).delete()
        token = MinionToken.objects.create(minion=minion, digest=hash_token(text), ending=text[-4:])
        record_act(Act.TOKEN_MADE, subject=minion)
    return token, text


def end_token(*, minion: Minion) -> None:
    with transaction.atomic():
        MinionToken.objects.filter(minion=minion).delete()
        record_act(Act.TOKEN_REVOKED, subject=minion)


def tokens_with(digests) -> list[MinionToken]:
    """Tokens with these hashes whose minion's owner is active, each with its minion and that one's owner."""
    rows = MinionToken.objects.filter(digest__in=digests, minion__owner__is_active=True)
    return list(rows.select_related("minion__owner"))


def token_of(text: str) -> MinionToken | None:
    """The token with this text, with its minion and that one's owner; None where it opens nothing.

    Its use is noted, once a minute at most.
    """
    if not text.startswith(TOKEN_PREFIX) or len(text) != len(TOKEN_PREFIX) + 32:
        return None
    found = next(iter(tokens_with([hash_token(text)])), None)
    if found is not None:
        note_use(found)
    return found


def note_use(token: MinionToken) -> None:
    now = timezone.now()
    if token.last_used_at is None or (now - token.last_used_at).total_seconds() > 60:
        if token.last_used_at is None or now - token.last_used_at > timedelta(hours=1):
            record_act(Act.TOKEN_USED, owner=token.minion.owner, subject=token.minion)
        MinionToken.objects.filter(pk=token.pk).update(last_used_at=now)
        token.last_used_at = now
