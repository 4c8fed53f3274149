"""What a setting is: a dataclass field with words and bounds, checked wherever it comes from."""

import dataclasses
import re
import reprlib
import sys
from dataclasses import field
from typing import Any, ClassVar, Self

MODULE_NAME = re.compile(r"[A-Za-z0-9_.]{1,100}")


class ConfigError(ValueError):
    """`field` was given `value`, which it cannot take; the text names both and the bounds."""

    def __init__(self, field_name: str, value: Any, message: str):
        super().__init__(message)
        self.field = field_name
        self.value = value
        self.message = message


def setting(
    default,
    label,
    term,
    help_text,
    *,
    minimum=None,
    maximum=None,
    choices=None,
    optional=False,
    basic=False,
    methods=("sft", "dpo", "orpo", "kto"),
):
    """A config field: plain `label`, the field's `term`, `help`, inclusive bounds; `basic` ones show first.

    `methods` names the methods that have it.
    """
    metadata = {
        "label": label,
        "term": term,
        "help": help_text,
        "minimum": minimum,
        "maximum": maximum,
        "choices": choices,
        "optional": optional,
        "basic": basic,
        "methods": methods,
    }
    return field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True)
class Settings:
    """The base of every config: fields made by `setting`, built by `from_dict`, which checks every value.

    `DEFAULTS` says, by method, what differs from the fields' own defaults.
    """

    DEFAULTS: ClassVar[dict[str, dict[str, Any]]] = {}

    @classmethod
    def from_dict(cls, values: dict[str, Any] | None, method: str = "sft") -> Self:
        """Checked settings of `method`; a left-out field takes the method's default.

        Raises ConfigError naming the first bad one.
        """
        if values is None:
            values = {}
        if not isinstance(values, dict):
            raise ConfigError("config", values, f"config should be an object of settings, not {values!r}.")
        fields = {f.name: f for f in dataclasses.fields(cls) if method in f.metadata["methods"]}
        for name in values:
            if name not in fields:
                raise ConfigError(
                    str(name), values[name], f"There is no setting {name!r}; known are {', '.join(fields)}."
                )
        given = {**cls.DEFAULTS.get(method, {}), **values}
        return cls(**{name: checked(fields[name], value) for name, value in given.items()})

    def to_dict(self, method: str = "sft") -> dict[str, Any]:
        """All settings of `method`, ready for JSON."""
        found = {}
        for entry in dataclasses.fields(self):
            if method in entry.metadata["methods"]:
                value = getattr(self, entry.name)
                found[entry.name] = list(value) if isinstance(value, tuple) else value
        return found


def kind_of(entry: dataclasses.Field) -> str:
    """choice, list, number or integer."""
    if entry.metadata["choices"]:
        return "choice"
    if isinstance(entry.default, tuple):
        return "list"
    return "number" if isinstance(entry.default, float) else "integer"


def checked(entry: dataclasses.Field, value: Any) -> Any:
    """`value` as the field takes it; raises ConfigError that names it."""
    name, rules, kind = entry.name, entry.metadata, kind_of(entry)
    if value is None and rules["optional"]:
        return None
    if kind == "choice":
        if value not in rules["choices"]:
            raise ConfigError(name, value, f"{name} is {value!r}; it can be {', '.join(rules['choices'])}.")
        return value
    if kind == "list":
        names = [value] if isinstance(value, str) else value
        good = isinstance(names, (list, tuple)) and 0 < len(names) <= 100
        if not good or not all(isinstance(x, str) and MODULE_NAME.fullmatch(x) for x in names):
            raise ConfigError(
                name, value, f"{name} is {value!r}; it should be a list of layer names such as q_proj."
            )
        return tuple(dict.fromkeys(names))
    # An int may be larger than any float, so that neither isfinite nor a format with :g can take it.
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not abs(value) <= sys.float_info.max:
        raise ConfigError(name, value, f"{name} is {reprlib.repr(value)}; it should be a number.")
    if kind == "integer":
        if value != int(value):
            raise ConfigError(name, value, f"{name} is {value!r}; it should be a whole number.")
        value = int(value)
    else:
        value = float(value)
    if not rules["minimum"] <= value <= rules["maximum"]:
        raise ConfigError(
            name,
            value,
            f"{name} is {value:g}; it should be between {rules['minimum']:g} and {rules['maximum']:g}.",
        )
    return value
