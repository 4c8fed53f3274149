"""Chat files of any size, written as a stream: every row another one, some of them with a fault that is known."""

import json
import random
from collections.abc import Iterator
from pathlib import Path

WORDS = """the of and to in is that it for with as on are be this have from or by not but what all when we there can
your which their if do will each how then them these so some would make like into time has look two more write go see
number way could people than first been call who now find long down day did get come made may part model training data
learning answer question customer order invoice delivery contract account harbour garden kitchen window river mountain
morning evening water paper letter number teacher doctor engine ship bridge station market price value result reason
example problem system program machine language history science music colour office building street city country
2024, 17 3.5%, café naïve Straße “quoted” state-of-the-art e.g. well-known""".split()
SENTENCES = 4000
SYSTEM = "You are a helpful assistant. Answer briefly, and say so when you do not know."

# name of a planted fault → the code under which it must be named
PLANTED: dict[str, str] = {
    "cut off": "truncated_json",
    "bytes that are not UTF-8": "bad_encoding",
    "empty answer": "empty_text",
    "unknown role": "unknown_role",
    "not a number": "nan_number",
    "no content": "missing_field",
    "list in place of an object": "not_an_object",
    "name twice": "duplicate_key",
    "half a character": "lone_surrogate",
    "the same row again": "exact_duplicate",
    "another answer": "contradiction",
    "a key": "secret",
}


def sentences(seed: int = 0) -> list[str]:
    """Sentences as they stand inside JSON: some hold an escaped line break or quotation mark."""
    source = random.Random(seed)
    made = []
    for _ in range(SENTENCES):
        words = [source.choice(WORDS) for _ in range(source.randint(5, 16))]
        text = " ".join(words).capitalize() + source.choice([". ", ". ", "? ", ".\n", ".\n- ", ': "yes". '])
        made.append(json.dumps(text, ensure_ascii=False)[1:-1])
    return made


def rows(row_bytes: int, seed: int = 0) -> Iterator[bytes]:
    """Lines of about `row_bytes` bytes without end; a system text, a question, an answer; no two the same."""
    source = random.Random(seed)
    pool = sentences(seed)
    count = max(2, row_bytes // 85)
    asked = max(1, count // 5)
    number = 0
    while True:
        number += 1
        chosen = source.choices(pool, k=count)
        question, answer = "".join(chosen[:asked]), "".join(chosen[asked:])
        system = f'{{"role": "system", "content": "{SYSTEM}"}}'
        user = f'{{"role": "user", "content": "Case {number}: {question}"}}'
        said = f'{{"role": "assistant", "content": "{answer}"}}'
        yield f'{{"messages": [{system}, {user}, {said}]}}\n'.encode()


def write_clean(path: Path, size: int, row_bytes: int) -> int:
    """Writes about `size` bytes of perfect rows; returns how many rows."""
    written = count = 0
    with open(path, "wb", buffering=1 << 20) as file:
        for line in rows(row_bytes):
            file.write(line)
            written += len(line)
            count += 1
            if written >= size:
                return count
    return count


def plant(clean: Path, target: Path, row_count: int, faults: int) -> dict[int, str]:
    """Copies `clean` with so many of its lines made faulty; returns line → code."""
    names = list(PLANTED)
    step = row_count // (faults + 1)
    where = {step * (number + 1): names[number % len(names)] for number in range(faults)}
    with open(clean, "rb", buffering=1 << 20) as source, open(target, "wb", buffering=1 << 20) as file:
        earlier = b""  # a good row since the last fault
        for number, line in enumerate(source, 1):
            if number in where:
                line = _faulty(where[number], line, earlier)
            elif number % step == 1:
                earlier = line
            file.write(line)
    return {line: PLANTED[name] for line, name in where.items()}


def _faulty(name: str, line: bytes, earlier: bytes) -> bytes:
    head, answer = line.split(b'"assistant", "content": "')
    asked = b'"assistant", "content": "'
    return {
        "cut off": line[: len(line) // 2] + b"\n",
        "bytes that are not UTF-8": line.replace(b"Case", b"Ca\xfe\xff", 1),
        "empty answer": head + asked + b'"}]}\n',
        "unknown role": line.replace(b'"assistant"', b'"parrot"'),
        "not a number": line[:-2] + b', "score": NaN}\n',
        "no content": line.replace(b'"content"', b'"contents"'),
        "list in place of an object": b"[" + line[:-1] + b"]\n",
        "name twice": line[:-2] + b', "id": 1, "id": 2}\n',
        "half a character": head + asked + b"\\ud83d " + answer,
        "the same row again": earlier,
        "another answer": earlier.replace(b'"assistant", "content": "', b'"assistant", "content": "No. '),
        "a key": head + asked + b"AKIA" + b"IOSFODNN7EXAMPLE " + answer,
    }[name]
