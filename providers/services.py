"""What people ask for: a key kept, changed, shared, tried, forgotten; and the client that it opens."""

import dataclasses
import re
import uuid
from urllib.parse import urlsplit

from asgiref.sync import async_to_sync
from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_variables

from apex.common.fetch import FetchRefused, check_base
from apex.common.secrets import Context, KeyMissing, SecretError, fault_of, hint_of, open_secret, seal
from audit.models import Act
from audit.services import record_act
from providers import selectors
from providers.base import Access, Failure, ModelInfo, Patience, Provider, ProviderFailed
from providers.models import ProviderKey
from providers.prices import with_prices
from providers.registry import all_providers, facts_of, provider_class

# Their adapters say the version themselves; the others' addresses end in it.
WITHOUT_VERSION = frozenset({"ollama", "anthropic"})
# A person waits for it.
TEST_PATIENCE = Patience(tries=2, longest_wait=2, first_byte=15, silence=15, total=20)


class BadKey(Exception):
    """It cannot be kept like this; `field` names what to change."""

    def __init__(self, message: str, field: str) -> None:
        super().__init__(message)
        self.field = field


# --- kept, changed, shared, forgotten ------------------------------------------------------------------------
@sensitive_variables("key")
def create_key(*, owner, provider: str, name: str = "", key: str = "", base_url: str = "") -> ProviderKey:
    """Raises BadKey. The key is sealed at once; its text is kept nowhere."""
    if provider not in all_providers():
        known = ", ".join(all_providers())
        message = _("There is no provider “%(name)s”; choose one of %(known)s.")
        raise BadKey(message % {"name": provider[:40], "known": known}, "provider")
    if not facts_of(provider_class(provider)).takes_keys:
        raise BadKey(_("%(label)s need no key.") % {"label": provider_class(provider).label}, "provider")
    row = ProviderKey(owner=owner, provider=provider)
    row.base_url = clean_address(provider, base_url)
    put_key(row, key)
    kept = keep(row, name or "default")
    record_act(Act.KEY_ADDED, subject=kept, provider=provider)
    return kept


@sensitive_variables("key")
def change_key(
    *, row: ProviderKey, name: str | None = None, key: str | None = None, base_url: str | None = None
) -> ProviderKey:
    """What is None stays as it is. Raises BadKey.

    A key that was given for one place does not follow to another: with another address it has to be entered again.
    """
    if base_url is not None and (address := clean_address(row.provider, base_url)) != row.base_url:
        if key is None and row.sealed_key:
            raise BadKey(_("The address is another one; enter the key for it too."), "key")
        row.base_url = address
        row.tested_at, row.problem = None, ""
    if key is not None:
        put_key(row, key)
    kept = keep(row, row.name if name is None else name)
    record_act(Act.KEY_CHANGED, subject=kept, provider=row.provider, is_new=key is not None)
    return kept


@sensitive_variables("key", "text")
def put_key(row: ProviderKey, key: str) -> None:
    text = key.strip()
    if not text and provider_class(row.provider).needs_key:
        raise BadKey(_("This provider needs a key."), "key")
    if fault := fault_of(text):
        raise BadKey(fault, "key")
    row.sealed_key = seal(text, Context.of(row, "sealed_key")) if text else ""
    row.hint = hint_of(text) if text else ""
    row.tested_at, row.problem = None, ""


def clean_address(provider: str, base_url: str) -> str:
    """The address in one spelling, `""` where there is none. Raises BadKey."""
    made, text = provider_class(provider), base_url.strip()
    if not made.takes_address:
        if text:
            raise BadKey(
                _("%(provider)s has its own address; leave this empty.") % {"provider": made.label},
                "base_url",
            )
        return ""
    if not text:
        if not made.default_address:
            raise BadKey(_("Say where the server is, such as https://models.example.org/v1."), "base_url")
        return ""
    try:
        place = check_base(text)
    except FetchRefused as problem:
        raise BadKey(str(problem), "base_url") from problem
    address = place.url.rstrip("/")
    if provider in WITHOUT_VERSION:
        return re.sub(r"/(v1|api)$", "", address)
    return address if urlsplit(address).path else f"{address}/v1"


def keep(row: ProviderKey, name: str) -> ProviderKey:
    row.name = name.strip()[:80]
    if not row.name:
        raise BadKey(_("The key needs a name."), "name")
    try:
        with transaction.atomic():
            row.save()
    except IntegrityError as problem:
        message = _("You already have a key named “%(name)s” for this provider.") % {"name": row.name}
        raise BadKey(message, "name") from problem
    return row


def share_key(*, row: ProviderKey, with_everybody: bool, names: list[str]) -> ProviderKey:
    """Lends the key to everybody, or to the users of these names: usable, never readable. Raises BadKey.

    Its owner has to be a superuser.
    """
    if not row.owner.is_superuser:
        raise BadKey(_("Only a superuser's keys can be shared."), "is_shared")
    users = get_user_model().objects.filter(username__in=names)
    if unknown := sorted(set(names) - {user.username for user in users}):
        raise BadKey(_("Nobody here is called %(names)s.") % {"names": ", ".join(unknown)}, "shared_with")
    with transaction.atomic():
        row.is_shared = with_everybody
        row.save(update_fields=["is_shared", "updated_at"])
        row.shared_with.set(users)
        names = [user.get_username() for user in users]
        record_act(Act.KEY_SHARED, subject=row, with_everybody=with_everybody, users=names)
    return row


def delete_key(*, row: ProviderKey) -> None:
    """It opens nothing any more, from the next question on."""
    with transaction.atomic():
        record_act(Act.KEY_DELETED, subject=row, provider=row.provider)
        row.delete()


# --- used ----------------------------------------------------------------------------------------------------
def provider_for(
    user, provider: str, key: ProviderKey | uuid.UUID | str | None = None, *, patience: Patience | None = None
) -> Provider:
    """A ready client with the right key: the one that `key` names (row, id or name), else the user's own that was
    added last, else one that is shared with them.

    Reads the database, so an event loop calls it by `sync_to_async`. Raises ProviderFailed (`auth`) where there is
    no key, or none that opens.
    """
    made = provider_class(provider)
    row = selectors.key_for(user, provider, key)
    if row is not None:
        return client_of(row, by=user, patience=patience)
    is_open = not made.takes_address or settings.PROVIDER_URLS.get(provider)
    if key is None and not made.needs_key and is_open:
        return made(dataclasses.replace(access_to(provider), user=user), patience or Patience())
    raise no_key(made, key)


def client_of(row: ProviderKey, *, by=None, patience: Patience | None = None) -> Provider:
    """The client that this key opens; whoever calls has checked that it may be used."""
    made = provider_class(row.provider)
    access = access_to(row.provider, opened(row), row.base_url)
    row.note_use(by)
    return made(access, patience or Patience())


def access_to(provider: str, key: str = "", base_url: str = "") -> Access:
    """An address that the house set is trusted, and so is a provider's own on the internet; one that a user gave is
    guarded, and so is a usual one that leads to this very machine."""
    if not base_url and (ours := settings.PROVIDER_URLS.get(provider)):
        return Access(key, ours)
    made = provider_class(provider)
    is_near = made.takes_address and not made.default_address.startswith("https://")
    return Access(key, base_url, is_guarded=bool(base_url) or is_near)


def opened(row: ProviderKey) -> str:
    """The key itself. Fails closed: what does not open is never sent anywhere."""
    if not row.sealed_key:
        return ""
    context = Context.of(row, "sealed_key")
    try:
        try:
            return open_secret(row.sealed_key, context)
        except KeyMissing:
            # It may have been sealed anew since it was read, and the older key taken away.
            row.refresh_from_db(fields=["sealed_key"])
            return open_secret(row.sealed_key, context)
    except (SecretError, ProviderKey.DoesNotExist) as problem:
        raise ProviderFailed(
            _("The key “%(name)s” cannot be opened: %(why)s") % {"name": row.name, "why": problem},
            kind=Failure.AUTH, provider=row.provider, code="key_does_not_open",
        ) from problem  # fmt: skip


def no_key(made: type[Provider], key) -> ProviderFailed:
    if key is not None:
        message = _("You have no such key for %(provider)s.") % {"provider": made.label}
    else:
        message = _("You have no key for %(provider)s yet. Add one under Settings → Keys.") % {
            "provider": made.label
        }
    return ProviderFailed(message, kind=Failure.AUTH, provider=made.name, code="no_provider_key")


def try_key(*, row: ProviderKey) -> str:
    """What the provider says to the key, in a sentence that is kept with it. Raises ProviderFailed."""
    try:
        said = async_to_sync(client_of(row, patience=TEST_PATIENCE).check)()
    except ProviderFailed as problem:
        note_test(row, problem.message)
        raise
    note_test(row, "")
    return said


def note_test(row: ProviderKey, problem: str) -> None:
    row.tested_at, row.problem = timezone.now(), problem[:700]
    row.save(update_fields=["tested_at", "problem"])


def list_models(*, row: ProviderKey) -> list[ModelInfo]:
    """What can be asked with the key, with prices where they are known. Raises ProviderFailed."""
    found = async_to_sync(client_of(row, patience=TEST_PATIENCE).models)()
    return [dataclasses.replace(model, price=price) for model, price in with_prices(row.provider, found)]
