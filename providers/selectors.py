"""Page-shaped reads: what there is, and which keys a user has or may use."""

import uuid
from dataclasses import dataclass

from django.db.models import Case, IntegerField, Q, QuerySet, Value, When

from providers.models import ProviderKey
from providers.registry import Facts, all_providers, facts_of


@dataclass(frozen=True)
class ProviderCard:
    """A provider as one user sees it: how many keys of their own they have, and how many are shared with them."""

    provider: Facts
    own_keys: int
    shared_keys: int

    @property
    def has_key(self) -> bool:
        return bool(self.own_keys or self.shared_keys) or not self.provider.takes_keys


def provider_cards(user) -> list[ProviderCard]:
    rows = list(ProviderKey.objects.usable_by(user).values_list("provider", "owner_id", "id"))
    own = [provider for provider, owner_id, _id in rows if owner_id == user.pk]
    lent = [provider for provider, owner_id, _id in rows if owner_id != user.pk]
    return [
        ProviderCard(facts_of(made), own.count(name), lent.count(name))
        for name, made in all_providers().items()
    ]


def usable_keys(user) -> QuerySet[ProviderKey]:
    """Own ones first, each group the newest first."""
    is_lent = Case(When(owner_id=user.pk, then=Value(0)), default=Value(1), output_field=IntegerField())
    return (
        ProviderKey.objects.usable_by(user)
        .annotate(is_lent=is_lent)
        .select_related("owner")
        .order_by("is_lent", "-created_at")
    )


def key_for(user, provider: str, key: ProviderKey | uuid.UUID | str | None = None) -> ProviderKey | None:
    """The key that counts for this user: the one that `key` names, else the first. One's own are looked for alone,
    which takes a fifth of the time."""
    if not user.is_authenticated:
        return None
    wanted = Q(provider=provider) & named(key)
    own = ProviderKey.objects.filter(wanted, owner=user).order_by("-created_at").first()
    return own or usable_keys(user).filter(wanted).first()


def named(key: ProviderKey | uuid.UUID | str | None) -> Q:
    match key:
        case None:
            return Q()
        case ProviderKey():
            return Q(pk=key.pk)
        case uuid.UUID():
            return Q(pk=key)
    try:
        return Q(pk=uuid.UUID(key))
    except ValueError:
        return Q(name=key)
