"""Secrets and personal data in the texts: reported, and masked where the owner wishes.

A model may say again what it learned. Patterns find what has a form: addresses, numbers with a check digit,
keys with a prefix. They do not find names of people, and a report without findings is no promise.

On the fast path a line is only looked at when its bytes may hold something: an `@`, nine digits with nothing but
`SEPARATORS` (or a backslash) between them, or one of `KEY_MARKS`. The patterns below ask for no less.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from datasets_app.faults import WARNING, Fault

from .texts import texts_of, with_texts

SEPARATORS = " -.()/"
NINE_DIGITS = re.compile(r"\d(?:[ \-.()/]*\d){8}", re.ASCII)
# What every known key holds, for a first look.
KEY_MARKS = (
    "AKIA", "ASIA", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "sk-", "sk_live_", "rk_live_",
    "hf_", "xox", "AIza", "-----BEGIN", "eyJ", "npm_", "pypi-", "nvapi-",
)  # fmt: skip


@dataclass(frozen=True)
class Pattern:
    """One kind of finding. `is_real` looks at a match that has the form (a check digit, say)."""

    kind: str
    words: str
    code: str
    regex: re.Pattern[str]
    is_real: Callable[[str], bool] = bool


Span = tuple[int, int, Pattern]  # start, end


def _digits(text: str) -> str:
    return "".join(character for character in text if "0" <= character <= "9")


def has_luhn_digit(text: str) -> bool:
    """Whether the digits end in the right check digit (ISO/IEC 7812-1, annex B)."""
    digits = [int(digit) for digit in _digits(text)]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]]
    return (
        len(digits) in (13, 14, 15, 16, 19)
        and len(set(digits)) > 1
        and (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0
    )


def is_iban(text: str) -> bool:
    """Whether the remainder is right (ISO 13616: letters as 10…35, first four characters last, modulo 97)."""
    compact = text.replace(" ", "")
    if not 15 <= len(compact) <= 34:
        return False
    return int("".join(str(int(character, 36)) for character in compact[4:] + compact[:4])) % 97 == 1


def is_telephone(text: str) -> bool:
    """Whether a run of digits is written as people write telephone numbers, not as an amount, a date or an id."""
    digits = _digits(text)
    if not 9 <= len(digits) <= 15:
        return False
    if text.startswith("+"):
        return not digits.startswith("0")
    return bool(
        re.fullmatch(r"\(\d{3}\) ?\d{3}[-. ]\d{4}|\d{3}[-.]\d{3}[-.]\d{4}", text)
        or re.fullmatch(r"\(?0[1-9]\d{1,4}\)?[ /-]\d{2,}(?:[ -]?\d{2,})*", text)
    )


_NUMBER = r"(?<![\w.+])[+(]?\d[\d ().\-/]{7,}\d(?!\w)"
EMAIL = Pattern(
    "email",
    "an e-mail address",
    "personal_data",
    re.compile(r"(?<![\w.+-])[A-Za-z0-9][\w.+-]{0,63}@(?:[A-Za-z0-9-]{1,63}\.){1,5}[A-Za-z]{2,24}\b"),
    lambda text: not text.lower().endswith((".example", "@example.com", "@example.org", "@example.net")),
)
NUMBERS = (
    Pattern("iban", "a bank account (IBAN)", "personal_data",
            re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b", re.ASCII), is_iban),
    Pattern("card", "a payment card", "personal_data", re.compile(_NUMBER, re.ASCII), has_luhn_digit),
    Pattern("social_security", "a US social security number", "personal_data",
            re.compile(r"(?<![\w-])(?!000|666|9)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\w-])", re.ASCII)),
    Pattern("telephone", "a telephone number", "personal_data", re.compile(_NUMBER, re.ASCII), is_telephone),
)  # fmt: skip
SECRETS = (
    Pattern("private_key", "a private key", "secret",
            re.compile(r"-----BEGIN (?:[A-Z]+ ){0,3}PRIVATE KEY-----(?:[^-]{0,10000}-----END [A-Z ]{0,40}-----)?")),
    Pattern("aws_key", "an AWS access key", "secret", re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b")),
    Pattern("github_token", "a GitHub token", "secret",
            re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{22,255})\b")),
    Pattern("gitlab_token", "a GitLab token", "secret", re.compile(r"\bglpat-[\w-]{20,}")),
    Pattern("api_key", "an API key", "secret",
            re.compile(r"\b(?:sk-(?:ant-|proj-|or-)?[A-Za-z0-9_-]{20,}|nvapi-[\w-]{20,}|hf_[A-Za-z0-9]{30,}"
                       r"|AIza[\w-]{35}|[sr]k_live_[A-Za-z0-9]{16,})")),
    Pattern("slack_token", "a Slack token", "secret", re.compile(r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}")),
    Pattern("package_token", "a package registry token", "secret",
            re.compile(r"\b(?:npm_[A-Za-z0-9]{36}|pypi-[\w-]{50,})")),
    Pattern("jwt", "a signed token (JWT)", "secret",
            # Not behind a dash: each "eyJ-" of a long row of them would be followed to its end.
            re.compile(r"(?<![\w-])eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}")),
)  # fmt: skip
PATTERNS = (*SECRETS, EMAIL, *NUMBERS)
KINDS = {pattern.kind: pattern.words for pattern in PATTERNS}


def worth_a_look(text: str) -> tuple[Pattern, ...]:
    """The patterns that may match, by a look that costs next to nothing for most texts."""
    found: tuple[Pattern, ...] = ()
    if any(mark in text for mark in KEY_MARKS):
        found += SECRETS
    if "@" in text:
        found += (EMAIL,)
    if NINE_DIGITS.search(text):
        found += NUMBERS
    return found


def findings(text: str) -> Iterator[tuple[Pattern, int, int]]:
    """(pattern, start, end) of each finding, in order of the text; of two that overlap the earlier pattern wins."""
    spans: list[Span] = []
    for pattern in worth_a_look(text):
        spans = sorted([*spans, *beside(spans, pattern, text)], key=lambda span: span[0])
    for start, end, pattern in spans:
        yield pattern, start, end


def beside(spans: list[Span], pattern: Pattern, text: str) -> Iterator[Span]:
    """What the pattern finds clear of `spans`. One walk along both, as a text may hold a million findings."""
    at = 0
    for match in pattern.regex.finditer(text):
        start, end = match.span()
        while at < len(spans) and spans[at][1] <= start:
            at += 1
        is_clear = at == len(spans) or spans[at][0] >= end
        if is_clear and pattern.is_real(match.group()):
            yield start, end, pattern


def veiled(text: str) -> str:
    """A finding as it may be shown: enough to be found again in the file, too little to be used."""
    return f"{text[:3]}…({len(text)} characters)"


def mask_text(text: str, kinds: frozenset[str]) -> str:
    """The text with findings of these kinds replaced by their name: `[email]`."""
    pieces, at = [], 0
    for pattern, start, end in findings(text):
        if pattern.kind in kinds:
            pieces += [text[at:start], f"[{pattern.kind}]"]
            at = end
    return "".join(pieces) + text[at:] if pieces else text


def mask_row(row: dict[str, Any], kinds: frozenset[str] = frozenset(KINDS)) -> dict[str, Any]:
    """A copy of a row without what these kinds name, in texts and in the arguments of tool calls."""
    return with_texts(row, lambda text: mask_text(text, kinds))


class Privacy:
    """The check: one warning a row and kind, and how many rows hold each kind."""

    def __init__(self) -> None:
        self.rows: Counter[str] = Counter()

    def see(self, row: dict[str, Any], kind: str) -> Iterator[Fault]:
        told: set[str] = set()
        for text in texts_of(row):
            for pattern, start, end in findings(text):
                if pattern.kind in told:
                    continue
                told.add(pattern.kind)
                self.rows[pattern.kind] += 1
                yield Fault(
                    row["line"],
                    f"It holds what looks like {pattern.words}.",
                    "Take it out, or let Apex mask it: a model may repeat what it learned.",
                    WARNING,
                    veiled(text[start:end]),
                    pattern.code,
                )

    def finish(self) -> Iterator[Fault]:
        yield from ()

    def summary(self) -> dict[str, Any]:
        return {"private": dict(self.rows)} if self.rows else {}
