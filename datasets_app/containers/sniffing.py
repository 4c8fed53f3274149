"""What kind of file this is, by its first bytes: text to read, or something to refuse by its name."""

import re
from dataclasses import dataclass

from datasets_app.formats.base import BadRow, excerpt

# First bytes → what the file is, what to do in place of it, and its code.
AS_JSON_OR_CSV = "Export the examples as JSON Lines, JSON or CSV, and bring that."
UNPACK = "Unpack it and bring the file inside."
AS_CSV = "In Excel, choose “Save as” and “CSV UTF-8”, and bring that."
AGAIN = "Bring a file with examples in it, or type some."
MAGIC: tuple[tuple[bytes, str, str, str], ...] = (
    (b"BZh", "a compressed file (bzip2)", UNPACK, "archive"),
    (b"\xfd7zXZ", "a compressed file (xz)", UNPACK, "archive"),
    (b"\x28\xb5\x2f\xfd", "a compressed file (zstd)", UNPACK, "archive"),
    (b"7z\xbc\xaf", "an archive (7z)", UNPACK, "archive"),
    (b"Rar!", "an archive (rar)", UNPACK, "archive"),
    (b"ARROW1", "an Arrow file", AS_JSON_OR_CSV, "not_text"),
    (b"%PDF", "a PDF", AS_JSON_OR_CSV, "not_text"),
    (b"{\\rtf", "a rich text document", AS_JSON_OR_CSV, "not_text"),
    (b"SQLite format 3", "an SQLite database", AS_JSON_OR_CSV, "not_text"),
    (b"\xd0\xcf\x11\xe0", "an old Office document", AS_CSV, "office_file"),
    (b"\x89PNG", "a picture", AS_JSON_OR_CSV, "not_text"),
    (b"\xff\xd8\xff", "a picture", AS_JSON_OR_CSV, "not_text"),
    (b"GIF8", "a picture", AS_JSON_OR_CSV, "not_text"),
)
ZIP = b"PK\x03\x04"
GZIP = b"\x1f\x8b"
WEB_PAGE = ("<!doctype", "<html", "<head", "<body", "<?xml", "<svg")
WEB_PAGE_MEND = (
    "If you saved it from a link, the link may want you to sign in first; download the file itself."
)
# A Unix tar says so at this place.
TAR_AT = 257
# Text with so few control characters may have some by accident.
CONTROLS = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
CONTROLS_MOST = 0.02


@dataclass(frozen=True)
class Wrapped:
    """What stands around the bytes (“gzip”), for the words of a refusal; "" for nothing."""

    name: str = ""

    def this(self, what: str) -> str:
        return f"Inside the {self.name} file is {what}" if self.name else f"This is {what}"


def refusal_of(head: bytes, tail: bytes, is_whole: bool, wrapped: Wrapped) -> BadRow | None:
    """What is wrong with the file as a whole, or None when it is worth reading.

    `head` is the beginning, `tail` the end where that can be had (a zip has its list of names there).
    """
    if not head:
        what = "There is nothing inside the gzip file." if wrapped.name else "The file is empty."
        return BadRow(what, AGAIN, code="empty_file")
    if head.startswith(ZIP):
        return _refusal_of_zip(head, tail, wrapped)
    if head.startswith(GZIP) and wrapped.name:
        return BadRow(
            "Inside the gzip file is another gzip file.", "Unpack it once, and bring that.", code="archive"
        )
    if head[TAR_AT : TAR_AT + 5] == b"ustar":
        names = [head[:100].rstrip(b"\x00")]
        return BadRow(f"{wrapped.this('an archive (tar)')}{_named(names)}.", UNPACK, code="archive")
    for magic, name, mend, code in MAGIC:
        if head.startswith(magic):
            return BadRow(f"{wrapped.this(name)}, not text with examples.", mend, code=code)
    return None


def refusal_of_text(head: bytes, is_whole: bool) -> BadRow | None:
    """As `refusal_of`, for what should be UTF-8 text by now."""
    text = head[:4096].decode("utf-8", "replace").lstrip("\ufeff \t\r\n")
    if not text and (is_whole and not head.strip(b"\xef\xbb\xbf \t\r\n")):
        return BadRow("There is nothing but white space in it.", AGAIN, code="empty_file")
    if text.startswith("version https://git-lfs.github.com/spec/"):
        return BadRow(
            "This is a Git LFS pointer: a note of where the file is, not the file.",
            "Run “git lfs pull” in the repository, and bring the file that is there then.",
            excerpt(text.replace("\n", " ")),
            "git_lfs_pointer",
        )
    if text[:100].lower().startswith(WEB_PAGE):
        is_xml = text[:100].lower().startswith("<?xml") and "<html" not in text[:1000].lower()
        title = re.search(r"<title[^>]*>([^<]{1,200})", text, re.IGNORECASE)
        return BadRow(
            f"This is {'XML' if is_xml else 'a web page (HTML)'}, not examples.",
            WEB_PAGE_MEND,
            excerpt(title[1].strip()) if title else "",
            "web_page",
        )
    if text[:1] not in ("{", "[") and len(CONTROLS.findall(head)) > CONTROLS_MOST * len(head):
        problem = "This is not a text file"
        if b"\x00" in head:
            problem += " (it holds zero bytes)"
        return BadRow(problem + ".", AS_JSON_OR_CSV, code="not_text")
    return None


def _named(names: list[bytes]) -> str:
    """Some names inside an archive, in words; those that point outside are told."""
    shown = [name.decode("utf-8", "replace") for name in names if name]
    if not shown:
        return ""
    listed = ", ".join(f"“{excerpt(name, width=60)}”" for name in shown[:3])
    outside = [name for name in shown if is_outside(name)]
    if outside:
        return f" with a name that points outside of it (“{excerpt(outside[0], width=60)}”)"
    return f" with {listed}" + (" …" if len(shown) > 3 else "")


def is_outside(name: str) -> bool:
    """Whether a name in an archive would be written somewhere else when unpacked."""
    parts = name.replace("\\", "/").split("/")
    return ".." in parts or name.startswith(("/", "\\")) or (len(name) > 1 and name[1] == ":")


def _refusal_of_zip(head: bytes, tail: bytes, wrapped: Wrapped) -> BadRow:
    names = list(dict.fromkeys([*_names(head, ZIP, 26, 30), *_names(tail, b"PK\x01\x02", 28, 46)]))
    if any(name.startswith(b"xl/") for name in names):
        return BadRow(
            f"{wrapped.this('an Excel workbook')}, whatever its name is.", AS_CSV, code="office_file"
        )
    if any(name.startswith((b"word/", b"ppt/")) for name in names):
        return BadRow(f"{wrapped.this('a Word or PowerPoint document')}.", AS_JSON_OR_CSV, code="office_file")
    if any(name.endswith(b"content.xml") for name in names):
        return BadRow(
            f"{wrapped.this('an OpenDocument file')}.",
            "Save the sheet as CSV with the encoding UTF-8, and bring that.",
            code="office_file",
        )
    return BadRow(f"{wrapped.this('an archive (zip)')}{_named(names)}.", UNPACK, code="archive")


def _names(data: bytes, mark: bytes, length_at: int, name_at: int) -> list[bytes]:
    """The names in the entries of a zip that begin with `mark`; nothing is unpacked."""
    names = []
    position = data.find(mark)
    while position >= 0 and len(names) < 10_000:
        length = int.from_bytes(data[position + length_at : position + length_at + 2], "little")
        names.append(data[position + name_at : position + name_at + length][:300])
        position = data.find(mark, position + 4)
    return names
