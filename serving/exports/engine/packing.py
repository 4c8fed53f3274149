"""Files with their hashes, and several of them as one."""

import hashlib
import shutil
import zipfile
from pathlib import Path
from typing import Any

CHUNK = 1024 * 1024
SUMS = "SHA256SUMS"


def listed(folder: Path) -> list[dict[str, Any]]:
    """Every file below `folder`: its name from there, its size in bytes, its sha256."""
    return [listed_file(path, str(path.relative_to(folder))) for path in files_of(folder)]


def listed_file(path: Path, name: str) -> dict[str, Any]:
    with open(path, "rb") as file:
        return {
            "name": name, "size": path.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest(),
        }  # fmt: skip


def files_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def pack(folder: Path, target: Path, top: str) -> list[dict[str, Any]]:
    """Moves all files of `folder` into the zip `target`, below `top`, with their SHA256SUMS; returns their list.

    Each file goes from the disk once it is in the zip, so both together take hardly more room than one of them.
    Times are left out, so that the same files make the same zip; weights do not compress, so none is.
    """
    files = listed(folder)
    (folder / SUMS).write_text("".join(f"{each['sha256']}  {each['name']}\n" for each in files))
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for path in files_of(folder):
            entry = zipfile.ZipInfo(f"{top}/{path.relative_to(folder)}", date_time=(1980, 1, 1, 0, 0, 0))
            entry.external_attr = 0o644 << 16
            with open(path, "rb") as source, archive.open(entry, "w", force_zip64=True) as packed:
                shutil.copyfileobj(source, packed, CHUNK)
            path.unlink()
    return files
