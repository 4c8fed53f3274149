"""A document's text as it is kept in the file store: `{"kind", "text", "marks", "places", "remarks"}` as JSON."""

import dataclasses
import json

from apex.common import files
from knowledge.parsing import Parsed


def keep_text(parsed: Parsed) -> str:
    """Its sha256."""
    return files.put_bytes(json.dumps(dataclasses.asdict(parsed), ensure_ascii=False).encode()).sha256


def open_text(sha256: str) -> Parsed:
    with files.open_stored(sha256) as file:
        found = json.loads(file.read())
    return Parsed(**{**found, "marks": [tuple(mark) for mark in found["marks"]]})
