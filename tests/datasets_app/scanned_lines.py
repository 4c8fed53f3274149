"""Lines of chats, whole and broken, for the tests that hold the scanner and the careful reader together."""

import json
import random

from hypothesis import strategies as st

TEXTS = [
    "Hello", "What is it?", " \t", "", "é", "日本語", "😀", "a\u00a0b", "\u200d", "\ufeff", "\x7f", "\x85", "\x00",
    "\u2028",
    "\ud800", "{{name}}", "a\\nb", "line\nline\r\n\ttab", '"quoted"', "back\\slash", "a/b", "\ufffd", "\ufdd0",
    "\U0010ffff",
    "\U000e0001", "e\u0301", "\u3000", "\u1680", "١٢٣٤٥٦٧٨٩",
    "anna@firma.de", "@mention", "x@-y.de", "4111 1111 1111 1111", "call +49 (171) 12/345-67.", "1,000,000,000",
    "DE89370400440532013000",
    "AKIA" + "IOSFODNN7EXAMPLE", "sk-" + "a1" * 20, "task-based", "hf_" + "Q" * 34, "xo" + "xb-1234567890-ab",
    "-----BEGIN RSA PRIVATE " + "KEY-----",
    "eyJ" + "a" * 12 + ".eyJ" + "b" * 12 + "." + "c" * 12,
    "Janet's ducks lay 16 eggs per day. She eats three for breakfast every morning and bakes muffins for her friends",
    "x" * 15, "x" * 16, "x" * 31, "x" * 32, "x" * 33, "1" * 8, "1" * 9, "1 2\n3 4 5 6 7 8 9",
    "y" * 70 + "@" + "z" * 70,
]  # fmt: skip
ROLES = ["system", "user", "assistant"]
ODD_ROLES = ["System", "developer", "tool", "human", "bot", "", None, 1]
EXTRA_KEYS = [
    "id",
    "source",
    "split",
    "conversation",
    "tools",
    "weight",
    "label",
    "prompt",
    "text",
    "_meta",
    "é",
    "id ",
]
EXTRA_VALUES = ["a", 1, -0.5, 1e30, 10**17, True, None, [], {}, "é😀", "{{x}}", "train"]
BYTES = [b'"', b"\\", b"\n", b"\r", b" ", b"{", b"}", b"[", b"]", b",", b":", b"\x00", b"\xff", b"\xc3",
         b"\xed\xa0\x80",
         b"\\u0041", b"\\ud83d\\ude00", b"\\ud83d", b"\\u0000", b"\\/", b"\\b", b"\\x", b"NaN", b"null", b"1e999",
         b"\xef\xbb\xbf"]  # fmt: skip

contents = st.one_of(
    st.sampled_from(TEXTS), st.text(max_size=40), st.sampled_from(TEXTS).map(lambda text: text * 3)
)


@st.composite
def perfect(draw):
    """A chat as it should be, with contents that may be odd."""
    messages = [{"role": "system", "content": draw(contents)}] if draw(st.booleans()) else []
    for _ in range(draw(st.integers(1, 3))):
        messages += [
            {"role": "user", "content": draw(contents)},
            {"role": "assistant", "content": draw(contents)},
        ]
    return {"messages": messages}


@st.composite
def odd(draw):
    """A chat with roles, members or neighbours that need a careful look."""
    record = draw(perfect())
    for message in record["messages"]:
        if draw(st.integers(0, 9)) == 0:
            message["role"] = draw(st.sampled_from(ROLES + ODD_ROLES))
        if draw(st.integers(0, 9)) == 0:
            message[draw(st.sampled_from(["name", "weight", "content", "tool_calls"]))] = draw(
                st.sampled_from([*EXTRA_VALUES, [{"type": "text", "text": "part"}]])
            )
    extra = draw(st.dictionaries(st.sampled_from(EXTRA_KEYS), st.sampled_from(EXTRA_VALUES), max_size=2))
    return {**extra, **record} if draw(st.booleans()) else {**record, **extra}


@st.composite
def lines(draw):
    """The bytes of one line, with its line break."""
    record = draw(st.one_of(perfect(), perfect(), odd()))
    plain = draw(st.booleans())
    separators = draw(st.sampled_from([(",", ":"), (", ", ": "), (" ,\t", " : ")]))
    text = json.dumps(record, ensure_ascii=plain, separators=separators)
    raw = bytearray(text.encode("utf-8", "surrogatepass"))
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
        at = draw(st.integers(0, len(raw)))
        raw[at : at + draw(st.integers(0, 3))] = draw(st.sampled_from(BYTES))
    return (
        draw(st.sampled_from([b"", b"", b" "]))
        + bytes(raw)
        + draw(st.sampled_from([b"\n", b"\n", b"\r\n", b"\n\n"]))
    )


def broken_corpus(count: int, seed: int = 0) -> bytes:
    """So many lines, most of them with some bytes changed; the same for the same seed."""
    source = random.Random(seed)
    made = []
    for _ in range(count):
        messages = [
            {
                "role": source.choice(ROLES + ["user", "assistant"]),
                "content": source.choice(TEXTS) * source.randint(1, 4),
            }
            for _ in range(source.randint(1, 5))
        ]
        raw = bytearray(
            json.dumps({"messages": messages}, ensure_ascii=source.random() < 0.5).encode(
                "utf-8", "surrogatepass"
            )
        )
        for _ in range(source.randint(0, 3)):
            at = source.randint(0, len(raw))
            raw[at : at + source.randint(0, 9)] = source.choice(BYTES)
        made.append(bytes(raw))
    return b"\n".join(made)
