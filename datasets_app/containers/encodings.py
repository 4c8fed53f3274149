"""Which encoding a text is in, and the same text as UTF-8."""

import codecs
import re
from typing import BinaryIO

MARKS: tuple[tuple[bytes, str], ...] = (
    (b"\xff\xfe\x00\x00", "utf-32-le"),
    (b"\x00\x00\xfe\xff", "utf-32-be"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
)
UTF_8_MARK = b"\xef\xbb\xbf"
WORDS = {
    "utf-32-le": "UTF-32", "utf-32-be": "UTF-32",
    "utf-16-le": "UTF-16 (“Unicode” in some programs)", "utf-16-be": "UTF-16 (“Unicode” in some programs)",
    "cp1252": "Windows-1252 (“ANSI”, as Excel writes CSV)",
}  # fmt: skip
# What Western texts in Windows-1252 have of bytes above ASCII.
WESTERN = frozenset(
    "äöüßÄÖÜéèêëàâçñáíóúîïôûùœæøåãõÉÈÀÇÑÁÍÓÚØÅÆ’‘“”„–—…€«»°·§¿¡ºª£\u00a0•™®©´²³½".encode("cp1252")
)
TWO_BYTES = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
HIGH = re.compile(rb"[\x80-\xff]")
LETTER = re.compile(rb"[A-Za-z\x80-\xff]")


def encoding_of(head: bytes) -> str | None:
    """The encoding when it is recognised as another than UTF-8, else None."""
    for mark, name in MARKS:
        if head.startswith(mark):
            return name
    return wide_encoding(head) or ("cp1252" if is_windows_1252(head) else None)


def wide_encoding(head: bytes) -> str | None:
    """UTF-16 or UTF-32 without a mark, where the text is mostly ASCII: the zeros tell."""
    head = head[: min(len(head), 4096) // 4 * 4]
    if len(head) < 8:
        return None
    quarter = len(head) // 4
    zeros = [head[place::4].count(0) > 0.7 * quarter for place in range(4)]
    known = {
        (False, True, True, True): "utf-32-le",
        (True, True, True, False): "utf-32-be",
        (False, True, False, True): "utf-16-le",
        (True, False, True, False): "utf-16-be",
    }
    return known.get(tuple(zeros))  # type: ignore[arg-type]


def is_windows_1252(head: bytes) -> bool:
    """Whether a text that is no JSON (JSON is UTF-8 by its standard) is Western text in Windows-1252, for sure."""
    if head.lstrip(b" \t\r\n")[:1] in (b"{", b"[") or b"\x00" in head:
        return False
    high = HIGH.findall(head)
    if not high or is_utf_8(head):
        return False
    if len(TWO_BYTES.findall(head)) > 0.2 * len(high):
        return False
    western = sum(byte[0] in WESTERN for byte in high)
    return western >= 0.95 * len(high) and len(high) < 0.25 * len(LETTER.findall(head))


def is_utf_8(head: bytes) -> bool:
    """Whether it is UTF-8, whatever the cut at its end."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head, False)
    except UnicodeDecodeError:
        return False
    return True


class Recoded:
    """A stream of text in another encoding, as UTF-8. What does not belong there becomes U+FFFD."""

    def __init__(self, stream: BinaryIO, encoding: str) -> None:
        self._stream = stream
        self._decode = codecs.getincrementaldecoder(encoding)("replace").decode
        self._is_first = True
        self._is_done = False

    def read(self, size: int = -1) -> bytes:
        """About `size` bytes; none only at the end."""
        while not self._is_done:
            data = self._stream.read(size if size > 0 else 64 * 1024)
            self._is_done = not data
            text = self._decode(data, self._is_done)
            if self._is_first and text:
                text = text.removeprefix("\ufeff")
                self._is_first = False
            if text:
                return text.encode("utf-8", "surrogateescape")
        return b""

    def seekable(self) -> bool:
        return False

    def close(self) -> None:
        self._stream.close()
