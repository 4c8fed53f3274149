"""A checkpoint's `manifest.json`: what must be in the directory, byte for byte. No torch, so that a worker may ask."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from training.engine.errors import BAD_CHECKPOINT, EngineError

MANIFEST = "manifest.json"
FORMAT = 1
ADVICE = "Go on from an earlier checkpoint, or start again from the beginning."
PIECE = 1024 * 1024


def write_manifest(directory: Path, step: int) -> int:
    """Writes size and sha256 of every file in `directory`; returns the bytes of all of them, its own included."""
    files: dict[str, Any] = {}
    for path in sorted(directory.iterdir()):
        files[path.name] = {"size": path.stat().st_size, "sha256": file_sha256(path)}
    text = _text({"format": FORMAT, "step": step, "files": files})
    (directory / MANIFEST).write_text(text, encoding="utf-8")
    return len(text.encode()) + sum(entry["size"] for entry in files.values())


def verify(directory: str | Path) -> dict[str, Any]:
    """The manifest of a checkpoint whose every byte is as it was written.

    Raises EngineError (bad_checkpoint) naming the file that is missing, torn or changed, or that does not
    belong there.
    """
    directory = Path(directory)
    manifest = _read(directory)
    try:
        found = {entry.name for entry in directory.iterdir()} - {MANIFEST}
        for name, promised in manifest["files"].items():
            if name not in found:
                raise _bad(directory, f"{name} is missing")
            size = (directory / name).stat().st_size
            if size != promised["size"]:
                raise _bad(directory, f"{name} has {size} bytes instead of {promised['size']}")
            if file_sha256(directory / name) != promised["sha256"]:
                raise _bad(directory, f"{name} was changed: its sha256 is not the one that was written")
        if extra := found - set(manifest["files"]):
            raise _bad(directory, f"{min(extra)} does not belong to it")
    except OSError as error:
        raise _bad(directory, f"a file cannot be read: {error}") from error
    return manifest


def file_sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            digest.update(piece)
    return digest.hexdigest()


def flush_to_disk(path: Path) -> None:
    """Waits until a file's content, or a directory's names, would survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(directory: Path) -> dict[str, Any]:
    try:
        text = (directory / MANIFEST).read_text(encoding="utf-8")
        manifest = json.loads(text)
        del manifest["sha256"]
        same = text == _text(manifest) and manifest["format"] == FORMAT
    except OSError as error:
        raise _bad(directory, f"{MANIFEST} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise _bad(directory, f"{MANIFEST} was changed: it is no manifest any more") from error
    if not same:
        raise _bad(directory, f"{MANIFEST} was changed: its own sha256 is not the one that was written")
    return manifest


def _text(manifest: dict[str, Any]) -> str:
    """The only way in which a manifest is written, with the sha256 of everything else in it."""
    body = json.dumps(manifest, indent=1, sort_keys=True)
    whole = {**manifest, "sha256": hashlib.sha256(body.encode()).hexdigest()}
    return json.dumps(whole, indent=1, sort_keys=True) + "\n"


def _bad(directory: Path, what: str) -> EngineError:
    return EngineError(BAD_CHECKPOINT, f"The checkpoint {directory.name} cannot be used: {what}.", ADVICE)
