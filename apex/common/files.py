"""Files by the hash of what is in them, in `STORAGES["artifacts"]`, with a cache on this machine.

A worker or a server elsewhere has the same storage and a cache of its own, so it can fetch what it needs.
"""

import hashlib
import io
import os
import shutil
import tempfile
import zipfile
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from django.conf import settings
from django.core.files import File
from django.core.files.storage import storages

CHUNK = 1024 * 1024


@dataclass(frozen=True)
class Stored:
    sha256: str
    size: int  # bytes


class Damaged(OSError):
    """Stored bytes are gone, or are not those that were stored; the message names them."""


def storage():
    return storages["artifacts"]


def storage_name(sha256: str) -> str:
    return f"{sha256[:2]}/{sha256}"


def put_file(path: Path) -> Stored:
    """Keeps the bytes of `path`; the same bytes are kept once."""
    digest, size = hashlib.sha256(), 0
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            size += len(chunk)
        stored = Stored(digest.hexdigest(), size)
        file.seek(0)
        keep(stored, file)
    return stored


def stored_as(path: Path) -> Stored:
    """As what `put_file` would keep it."""
    with open(path, "rb") as file:
        return Stored(hashlib.file_digest(file, "sha256").hexdigest(), path.stat().st_size)


def put_bytes(content: bytes) -> Stored:
    stored = Stored(hashlib.sha256(content).hexdigest(), len(content))
    keep(stored, io.BytesIO(content))
    return stored


def keep(stored: Stored, file) -> None:
    """Saves the bytes of `file` under their hash, unless they are there whole. A save that breaks leaves nothing."""
    name = storage_name(stored.sha256)
    if storage().exists(name):
        if storage().size(name) == stored.size:
            return
        storage().delete(name)  # the rest of a write that was cut off
    try:
        saved = storage().save(name, File(file))
    except OSError:
        storage().delete(name)
        raise
    if saved != name:  # another process was first
        storage().delete(saved)


def put_directory(path: Path) -> Stored:
    """Keeps a directory as one zip whose bytes depend on names and contents only, not on times."""
    with tempfile.TemporaryDirectory(dir=settings.FILE_UPLOAD_TEMP_DIR) as folder:
        return put_file(pack_directory(path, Path(folder) / "directory.zip"))


def pack_directory(path: Path, target: Path) -> Path:
    """Writes the zip of `put_directory` to `target`, and returns that."""
    # Stored as they are: weights do not compress, and packing them must not take long.
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for file in sorted(p for p in path.rglob("*") if p.is_file()):
            entry = zipfile.ZipInfo(str(file.relative_to(path)), date_time=(1980, 1, 1, 0, 0, 0))
            entry.external_attr = 0o644 << 16
            with open(file, "rb") as source, archive.open(entry, "w", force_zip64=True) as packed:
                shutil.copyfileobj(source, packed, CHUNK)
    return target


def fetch_directory(sha256: str, target: Path) -> Path:
    """Unpacks a stored directory anew into `target`, after its bytes were checked; nothing of it stays in the cache.

    Raises `Damaged` if they are gone or others than those that were stored.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=target.parent) as copy:
        digest = hashlib.sha256()
        try:
            with open_stored(sha256) as source:
                while chunk := source.read(CHUNK):
                    digest.update(chunk)
                    copy.write(chunk)
        except FileNotFoundError as problem:
            raise Damaged(f"Stored directory {sha256} is not there any more.") from problem
        if digest.hexdigest() != sha256:
            raise Damaged(f"Stored directory {sha256} came back with hash {digest.hexdigest()}.")
        with zipfile.ZipFile(copy) as archive:
            unpack(archive, target, sha256)
    return target


def unpack(archive: zipfile.ZipFile, target: Path, sha256: str) -> None:
    """Unpacks into the new folder `target`, and nowhere else."""
    target.mkdir(parents=True, exist_ok=True)
    for entry in archive.infolist():
        if not (target / entry.filename).resolve().is_relative_to(target.resolve()):
            raise Damaged(f"Stored directory {sha256} names a file outside itself: {entry.filename!r}.")
    archive.extractall(target)


def open_stored(sha256: str):
    """A binary file object over the stored bytes; `FileNotFoundError` if they are not there."""
    return storage().open(storage_name(sha256), "rb")


def is_held(sha256: str) -> bool:
    """Whether a room needs these bytes: `settings.FILE_HOLDERS` names who says so for each.

    To be asked before stored bytes are removed: two people, and two rooms, may have brought the same.
    """
    return any(import_module(name).is_held(sha256) for name in settings.FILE_HOLDERS)


def delete_stored(sha256: str) -> None:
    """Removes the stored bytes and what this machine's cache made of them. Nothing happens if they are gone."""
    storage().delete(storage_name(sha256))
    (Path(settings.ARTIFACT_CACHE) / storage_name(sha256)).unlink(missing_ok=True)
    shutil.rmtree(Path(settings.ARTIFACT_CACHE) / "directories" / sha256, ignore_errors=True)
    shutil.rmtree(Path(settings.ARTIFACT_CACHE) / "derived" / sha256, ignore_errors=True)


def derived_path(sha256: str, name: str) -> Path:
    """Where this machine keeps something that was made of stored bytes and can be made again; it goes with them."""
    return Path(settings.ARTIFACT_CACHE) / "derived" / sha256 / name


def local_path(sha256: str) -> Path:
    """The stored bytes as a file on this machine: fetched once, checked against the hash, then kept."""
    try:
        path = Path(storage().path(storage_name(sha256)))
        if path.exists():
            return path
    except NotImplementedError:
        pass  # the storage is not on this machine's disk: fetch below
    target = Path(settings.ARTIFACT_CACHE) / storage_name(sha256)
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with open_stored(sha256) as source, tempfile.NamedTemporaryFile(dir=target.parent, delete=False) as copy:
        while chunk := source.read(CHUNK):
            digest.update(chunk)
            copy.write(chunk)
    if digest.hexdigest() != sha256:
        os.unlink(copy.name)
        raise Damaged(f"Stored file {sha256} came back with hash {digest.hexdigest()}; it is damaged.")
    os.replace(copy.name, target)
    return target


def local_directory(sha256: str) -> Path:
    """A stored directory, unpacked once on this machine. Two processes may ask at once."""
    target = Path(settings.ARTIFACT_CACHE) / "directories" / sha256
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    unpacked = Path(tempfile.mkdtemp(dir=target.parent))
    with zipfile.ZipFile(local_path(sha256)) as archive:
        unpack(archive, unpacked, sha256)
    try:
        os.rename(unpacked, target)
    except OSError:
        if not target.is_dir():
            raise
        shutil.rmtree(unpacked)  # another process was first
    return target
