"""What kind of file this is, by its first bytes: text to read, or something to refuse by its name."""

import zipfile
from pathlib import Path

# First bytes → what the file is, and what to do in place of it.
AS_JSON_OR_CSV = "Export the examples as JSON Lines, JSON or CSV, and bring that."
UNPACK = "Unpack it and bring the file inside."
MAGIC: tuple[tuple[bytes, str, str], ...] = (
    (b"\x1f\x8b", "a compressed file (gzip)", UNPACK),
    (b"BZh", "a compressed file (bzip2)", UNPACK),
    (b"\xfd7zXZ", "a compressed file (xz)", UNPACK),
    (b"\x28\xb5\x2f\xfd", "a compressed file (zstd)", UNPACK),
    (b"7z\xbc\xaf", "an archive (7z)", UNPACK),
    (b"Rar!", "an archive (rar)", UNPACK),
    (b"PAR1", "a Parquet file", AS_JSON_OR_CSV),
    (b"ARROW1", "an Arrow file", AS_JSON_OR_CSV),
    (b"%PDF", "a PDF", AS_JSON_OR_CSV),
    (b"{\\rtf", "a rich text document", AS_JSON_OR_CSV),
    (b"SQLite format 3", "an SQLite database", AS_JSON_OR_CSV),
    (
        b"\xd0\xcf\x11\xe0",
        "an old Office document",
        "In Excel, choose “Save as” and “CSV UTF-8”, and bring that.",
    ),
    (b"\x89PNG", "a picture", AS_JSON_OR_CSV),
    (b"\xff\xd8\xff", "a picture", AS_JSON_OR_CSV),
    (b"GIF8", "a picture", AS_JSON_OR_CSV),
)
UTF_8 = "Save it again with the encoding UTF-8, and bring that."


def refusal_of(path: Path) -> tuple[str, str] | None:
    """(what is wrong with the file as a whole, what to do), or None when it is worth reading as UTF-8 text."""
    with open(path, "rb") as file:
        head = file.read(4096)
    if not head:
        return "The file is empty.", "Bring a file with examples in it, or type some."
    if head.startswith(b"PK\x03\x04"):
        return _refusal_of_zip(path)
    if head.startswith((b"\xff\xfe\x00\x00", b"\x00\x00\xfe\xff")):
        return "The text is in the encoding UTF-32; it should be UTF-8.", UTF_8
    if head.startswith((b"\xff\xfe", b"\xfe\xff")) or _looks_like_utf_16(head):
        return "The text is in the encoding UTF-16 (“Unicode” in some programs); it should be UTF-8.", UTF_8
    for magic, name, mend in MAGIC:
        if head.startswith(magic):
            return f"This is {name}, not text with examples.", mend
    if b"\x00" in head:
        return "This is not a text file (it holds zero bytes).", AS_JSON_OR_CSV
    text = head.decode("utf-8", "replace").lstrip("\ufeff \t\r\n")
    if not text and path.stat().st_size <= len(head):
        return "There is nothing but white space in it.", "Bring a file with examples in it, or type some."
    if text[:100].lower().startswith(("<!doctype", "<html", "<head", "<body", "<?xml", "<svg")):
        return (
            "This is a web page (HTML), not examples.",
            "If you saved it from a link, the link may want you to sign in first; download the file itself.",
        )
    return None


def _looks_like_utf_16(head: bytes) -> bool:
    """Mostly ASCII in UTF-16 without a byte order mark: every second byte is zero."""
    if len(head) < 8:
        return False
    zeros = max(head[0::2].count(0), head[1::2].count(0))
    return zeros > 0.8 * (len(head) // 2) and head.count(0) < 0.6 * len(head)


def _refusal_of_zip(path: Path) -> tuple[str, str]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError):
        names = []
    if any(name.startswith("xl/") for name in names):
        return "This is an Excel workbook.", "In Excel, choose “Save as” and “CSV UTF-8”, and bring that."
    if any(name.startswith("word/") for name in names):
        return "This is a Word document.", AS_JSON_OR_CSV
    if any(name.endswith("content.xml") for name in names):
        return (
            "This is an OpenDocument file.",
            "Save the sheet as CSV with the encoding UTF-8, and bring that.",
        )
    return "This is an archive (zip).", UNPACK
