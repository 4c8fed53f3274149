"""Columns that a call names: role → name of a column."""

import json

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from datasets_app.reading.mapping import ROLES

SHAPE = {"type": "object", "additionalProperties": {"type": "string"}}
HELP = 'Which column is what, where no format fits: {"question": "Frage", "answer": "Antwort"}.'


class BadMapping(ValueError):
    """It names no columns; `str()` says what it should look like."""


def read_mapping(found) -> dict[str, str]:
    """A mapping, from an object or from its text. Raises BadMapping."""
    if isinstance(found, str):
        try:
            found = json.loads(found)
        except (ValueError, RecursionError):
            found = None
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found.values()):
        raise BadMapping('mapping must be a JSON object that names columns, such as {"question": "Frage"}.')
    if unknown := sorted(set(found) - set(ROLES)):
        raise BadMapping(f"mapping: {unknown[0]!r} is none of the roles {', '.join(ROLES)}.")
    return found


@extend_schema_field(SHAPE)
class MappingField(serializers.JSONField):
    """In a form it comes as the text of a JSON object."""

    def to_internal_value(self, data):
        try:
            return read_mapping(data)
        except BadMapping as problem:
            raise serializers.ValidationError(str(problem)) from problem
