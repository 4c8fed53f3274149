"""Other people's credentials, sealed before they are stored.

A sealed text is `v1:KEY-ID:TOKEN`. The token is Fernet's, under a key derived (HKDF-SHA256) from a master key and
from where the text belongs (`Context`: model, field, row), so that what is copied to another row opens nothing.
The key id is a fingerprint of the master key: a key that is missing is told from a text that was tampered with,
and what still has to be sealed anew is a plain query (`is_current`).

Master keys come from `APEX_SECRET_KEYS` (newest first, comma-separated), or from the file `secret_keys` that is
made once in the data directory. They are not Django's secret key: that one may change when sessions leak.
Opening is a call that can be searched for, `open_secret`, and never a field that opens itself: it would end up in
admin pages, dumps and serializers.
"""

import base64
import contextlib
import hashlib
import os
import secrets
import tempfile
from dataclasses import dataclass
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.db import models
from django.utils.translation import gettext as _

VERSION = "v1"
SHORTEST_KEY = 32  # characters
LONGEST_SECRET = 4000  # characters of a key or token that is kept for somebody


class SecretError(Exception):
    """A sealed text cannot be opened."""


class KeyMissing(SecretError):
    """It was sealed with a master key that is not here (any more)."""


class Tampered(SecretError):
    """It was changed, or belongs to another row."""


@dataclass(frozen=True)
class Context:
    """Where a sealed text belongs."""

    model: str
    field: str
    row: str

    @classmethod
    def of(cls, row: models.Model, field: str) -> "Context":
        """Needs a key that is known before the row is saved, as UUIDs are."""
        return cls(row._meta.label, field, str(row.pk))

    def __bytes__(self) -> bytes:
        return f"apex.secret.{VERSION}|{self.model}|{self.field}|{self.row}".encode()


def master_keys() -> list[str]:
    """The newest first; it seals, all open. Raises SecretError for one that is too short to be one."""
    given = [key.strip() for key in settings.SECRET_KEYS.split(",") if key.strip()]
    keys = given or key_file().read_text().split()
    if short := [key for key in keys if len(key) < SHORTEST_KEY]:
        raise SecretError(
            f"A key in APEX_SECRET_KEYS has {len(short[0])} characters; it needs {SHORTEST_KEY} or more. "
            'Make one with: python -c "import secrets; print(secrets.token_urlsafe(48))"'
        )
    return keys


def key_file() -> Path:
    """The file with a key that is made here at the first need, readable by its owner only."""
    path = Path(settings.DATA_DIR) / "secret_keys"
    if not path.exists():
        # Written aside and then linked: two that start at once agree, and a full disk leaves no half a key.
        with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix="secret_keys.") as file:
            file.write(secrets.token_urlsafe(48))
            file.flush()
            os.fchmod(file.fileno(), 0o600)
            with contextlib.suppress(FileExistsError):
                os.link(file.name, path)
    return path


def add_key() -> None:
    """Puts a new key in front of those in the file; whoever seals from now on takes it."""
    write_keys([secrets.token_urlsafe(48), *key_file().read_text().split()])


def forget_old_keys() -> int:
    """Leaves the newest key in the file alone; how many went. Nothing may be sealed with them any more."""
    newest, *older = key_file().read_text().split()
    write_keys([newest])
    return len(older)


def write_keys(keys: list[str]) -> None:
    path = key_file()
    # Replaced as a whole: whoever reads meanwhile sees the old file or the new one.
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix="secret_keys.", delete=False) as file:
        file.write("\n".join(keys))
        file.flush()
        os.fchmod(file.fileno(), 0o600)
        os.fsync(file.fileno())
    os.replace(file.name, path)


def key_id(master: str) -> str:
    return hashlib.sha256(b"apex.key-id|" + master.encode()).hexdigest()[:12]


def fernet(master: str, context: Context) -> Fernet:
    derived = HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=bytes(context))
    return Fernet(base64.urlsafe_b64encode(derived.derive(master.encode())))


def seal(text: str, context: Context) -> str:
    """`text`, sealed with the newest key."""
    newest = master_keys()[0]
    token = fernet(newest, context).encrypt(text.encode()).decode("ascii")
    return f"{VERSION}:{key_id(newest)}:{token}"


def open_secret(sealed: str, context: Context) -> str:
    """What was sealed. Raises KeyMissing or Tampered; never gives back anything else."""
    version, _colon, rest = sealed.partition(":")
    wanted, colon, token = rest.partition(":")
    if version != VERSION or not colon:
        raise Tampered(f"{context.model} {context.row} holds no sealed {context.field}.")
    master = next((key for key in master_keys() if key_id(key) == wanted), None)
    if master is None:
        raise KeyMissing(
            f"{context.model} {context.row} was sealed with the key {wanted}, which is not here. "
            "Add it to APEX_SECRET_KEYS, or enter the credentials again."
        )
    try:
        return fernet(master, context).decrypt(token.encode()).decode()
    except InvalidToken as problem:
        raise Tampered(
            f"{context.field} of {context.model} {context.row} was changed, or moved here."
        ) from problem


def is_current(sealed: str) -> bool:
    """Whether it was sealed with the newest key."""
    return sealed.startswith(f"{VERSION}:{key_id(master_keys()[0])}:")


def fault_of(text: str) -> str:
    """Why this cannot be a key or token that somebody got elsewhere; `""` where it can."""
    # It goes into a header: a line break would begin another one.
    if len(text) > LONGEST_SECRET or not text.isascii() or not text.isprintable() or " " in text:
        return _("This holds characters that no key has; copy it once more.")
    return ""


def hint_of(text: str) -> str:
    """What tells a secret apart without giving it away: its last four characters, of one long enough to keep."""
    return f"…{text[-4:]}" if len(text) >= 12 else "…"
