"""Stored credentials for references: made, changed, tried, forgotten. Sealed on the way in, opened for one use."""

import json
import re

from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from apex.common.fetch import FetchRefused, check_base
from apex.common.secrets import Context, fault_of, hint_of, seal
from audit.models import Act
from audit.services import record_act
from datasets_app.models import Connection, ConnectionKind, Reference
from datasets_app.reference_rows import credentials_of
from datasets_app.sources import open_source
from datasets_app.sources.probing import probe

KEYS = ("access_key_id", "secret_access_key", "session_token")
# What a kind of connection holds: (names, those that may be left out, the one whose end is shown).
CREDENTIALS: dict[str, tuple[tuple[str, ...], set[str], str]] = {
    ConnectionKind.HTTPS: (("token",), set(), "token"),
    ConnectionKind.S3: (KEYS, {"session_token"}, "access_key_id"),
    ConnectionKind.GS: (KEYS[:2], set(), "access_key_id"),
    ConnectionKind.HF: (("token",), set(), "token"),
}


class BadConnection(Exception):
    """It cannot be kept like this; `field` names what to change."""

    def __init__(self, message: str, field: str) -> None:
        super().__init__(message)
        self.field = field


def create_connection(
    *, owner, name: str, kind: str, credentials: dict[str, str], endpoint_url: str = "", region: str = ""
) -> Connection:
    """Raises BadConnection."""
    if kind not in CREDENTIALS:
        raise BadConnection(_("“%(kind)s” is no kind of connection.") % {"kind": kind[:40]}, "kind")
    connection = Connection(owner=owner, kind=kind)
    put_credentials(connection, credentials)
    kept = keep(connection, name, endpoint_url, region)
    record_act(Act.KEY_ADDED, subject=kept, kind=kind)
    return kept


def change_connection(
    *,
    connection: Connection,
    name: str | None = None,
    endpoint_url: str | None = None,
    region: str | None = None,
    credentials: dict[str, str] | None = None,
) -> Connection:
    """What is None stays as it is; credentials are replaced as a whole. Raises BadConnection.

    A token that was given for one place does not follow the connection to another: with another address of the
    store the credentials have to be entered again.
    """
    moves = endpoint_url is not None and endpoint_url.strip() != connection.endpoint_url
    if credentials:
        put_credentials(connection, credentials)
    elif moves and connection.sealed:
        raise BadConnection(
            _("The address of the store is another one; enter the credentials for it too."), "credentials"
        )
    kept = keep(
        connection,
        connection.name if name is None else name,
        connection.endpoint_url if endpoint_url is None else endpoint_url,
        connection.region if region is None else region,
    )
    record_act(Act.KEY_CHANGED, subject=kept, is_new=bool(credentials))
    return kept


def put_credentials(connection: Connection, credentials: dict[str, str]) -> None:
    names, optional, shown = CREDENTIALS[connection.kind]
    values = {name: str(credentials.get(name) or "").strip() for name in names}
    for name, value in values.items():
        if not value and name not in optional:
            raise BadConnection(_("This is needed."), name)
        if fault := fault_of(value):
            raise BadConnection(fault, name)
    if unknown := set(credentials) - set(names):
        raise BadConnection(
            _("“%(name)s” is not part of this kind of connection; it takes %(names)s.")
            % {"name": sorted(unknown)[0][:40], "names": ", ".join(names)},
            "credentials",
        )
    connection.sealed = seal(json.dumps(values), Context.of(connection, "sealed"))
    connection.hint = hint_of(values[shown])


def keep(connection: Connection, name: str, endpoint_url: str, region: str) -> Connection:
    connection.name, connection.region = name.strip()[:80], region.strip()
    connection.endpoint_url = endpoint_url.strip()
    if not connection.name:
        raise BadConnection(_("The connection needs a name."), "name")
    check_endpoint(connection)
    if connection.region and not re.fullmatch(r"[A-Za-z0-9-]{1,40}", connection.region):
        raise BadConnection(_("A region is written like eu-west-1."), "region")
    try:
        with transaction.atomic():
            connection.save()
    except IntegrityError as problem:
        message = _("You already have a connection named “%(name)s”.") % {"name": connection.name}
        raise BadConnection(message, "name") from problem
    return connection


def check_endpoint(connection: Connection) -> None:
    if not connection.endpoint_url:
        if connection.kind == ConnectionKind.HTTPS:
            raise BadConnection(
                _("Say which host the token is for, such as https://data.example.org."), "endpoint_url"
            )
        return
    try:
        check_base(connection.endpoint_url)
    except FetchRefused as problem:
        raise BadConnection(str(problem), "endpoint_url") from problem


def try_connection(*, connection: Connection, uri: str = "") -> str:
    """What happens with it, in a sentence: with the file at `uri`, or at the store's door. Raises SourceError."""
    credentials = credentials_of(connection)
    if not uri:
        return probe(credentials)
    source = open_source(uri.strip(), credentials)
    state = source.state()
    if state.size is None:
        return _("“%(name)s” can be read.") % {"name": source.name}
    return _("“%(name)s” can be read: %(size)s bytes.") % {"name": source.name, "size": state.size}


def delete_connection(*, connection: Connection) -> list[str]:
    """Forgets the credentials. Returns the names of the sets that were read through it and now have no way in."""
    names = sets_through(connection)
    with transaction.atomic():
        # What a reference says of its bytes stays; only the way to them is gone.
        Reference.objects.filter(connection=connection).update(connection=None)
        record_act(Act.KEY_DELETED, subject=connection)
        connection.delete()
    return names


def sets_through(connection: Connection) -> list[str]:
    """Names of the datasets that are read through it."""
    found = Reference.objects.filter(connection=connection, versions__dataset__erased_at=None)
    return sorted({name for name in found.values_list("versions__dataset__name", flat=True) if name})
