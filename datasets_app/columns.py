"""Which column of a table is the question and which the answer, when nothing in the file says so."""

from collections.abc import Mapping
from dataclasses import dataclass

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

ROWS_SHOWN = 3


@dataclass(frozen=True)
class Role:
    key: str
    label: str
    term: str
    is_needed: bool = True


# What rows are made of, by kind; the keys are those of a mapping: {"question": name of a column, …}.
ROLES: dict[str, list[Role]] = {
    "chat": [
        Role("question", gettext_lazy("The question"), "prompt"),
        Role("answer", gettext_lazy("The answer it should learn"), "completion"),
        Role("system", gettext_lazy("Instructions given before"), "system", is_needed=False),
    ],
    "preference": [
        Role("prompt", gettext_lazy("The question"), "prompt"),
        Role("chosen", gettext_lazy("The better answer"), "chosen"),
        Role("rejected", gettext_lazy("The worse answer"), "rejected"),
    ],
    "text": [Role("text", gettext_lazy("The text it should learn"), "text")],
}
KINDS = {
    "chat": gettext_lazy("Questions with answers"),
    "preference": gettext_lazy("A better and a worse answer"),
    "text": gettext_lazy("Plain text"),
}
# Names by which people call these columns, to begin with a good guess.
LIKELY = {
    "question": ("question", "prompt", "frage", "input", "ask", "user", "instruction", "query", "pregunta"),
    "answer": ("answer", "completion", "antwort", "output", "reply", "response", "assistant", "respuesta"),
    "prompt": ("prompt", "question", "frage", "input", "instruction"),
    "chosen": ("chosen", "better", "good", "preferred", "accepted"),
    "rejected": ("rejected", "worse", "bad", "other"),
    "text": ("text", "content", "body"),
    "system": (),
}


class NamedColumns:
    """The form, the preview and the mapping of one table.

    `columns`: {name: [sample values of the first rows]}; `chosen`: what was asked for, `as` (a kind) and a column
    for each role.
    """

    def __init__(self, columns: Mapping[str, list], chosen: Mapping[str, str]):
        self.columns = columns
        asked = chosen.get("as") or next((k for k, roles in ROLES.items() if roles[0].key in chosen), "chat")
        self.kind = asked if asked in ROLES else "chat"
        self.is_asked = any(role.key in chosen for role in ROLES[self.kind])
        named = chosen if self.is_asked else self.guessed(list(columns))
        self.mapping: dict[str, str] = {
            role.key: named[role.key] for role in ROLES[self.kind] if named.get(role.key) in columns
        }

    def guessed(self, names: list[str]) -> dict[str, str]:
        """Role → column: by its name, else the fullest of the others, as numbers and dates are seldom what is meant."""
        roles, found = ROLES[self.kind], {}
        for role in roles:
            free = [name for name in names if name not in found.values()]
            likely = (name for word in LIKELY[role.key] for name in free if word in name.casefold())
            if name := next(likely, None):
                found[role.key] = name
        missing = [role.key for role in roles if role.is_needed and role.key not in found]
        free = [name for name in names if name not in found.values()]
        free.sort(key=lambda name: -sum(len(str(value)) for value in self.columns[name]))
        # What is asked stands before what is answered.
        found.update(zip(missing, sorted(free[: len(missing)], key=names.index), strict=False))
        return found

    @property
    def kinds(self) -> list[tuple[str, str]]:
        return list(KINDS.items())

    @property
    def fields(self) -> list[dict]:
        """Each role with the column that is chosen for it and the first value that stands there."""
        return [
            {
                "role": role,
                "chosen": self.mapping.get(role.key, ""),
                "options": [(name, self.sample(name)) for name in self.columns],
            }
            for role in ROLES[self.kind]
        ]

    def sample(self, name: str) -> str:
        values = [str(value).strip() for value in self.columns[name] if value not in (None, "")]
        first = values[0] if values else ""
        return first if len(first) <= 60 else first[:59] + "…"

    @property
    def fault(self) -> str:
        """What is missing, in a sentence; "" when every needed column is named, each for one thing."""
        for role in ROLES[self.kind]:
            if role.is_needed and role.key not in self.mapping:
                return _("Say which column is: %(role)s.") % {"role": str(role.label).lower()}
        twice = [name for name in self.columns if list(self.mapping.values()).count(name) > 1]
        if twice:
            return _("The column “%(name)s” is named for two things.") % {"name": twice[0]}
        return ""

    @property
    def rows(self) -> list[list[dict]]:
        """The first rows as turns: dicts with role (system, user, learned, text or worse) and content."""
        count = max((len(values) for values in self.columns.values()), default=0)
        return [self.turns(index) for index in range(min(count, ROWS_SHOWN))]

    def turns(self, index: int) -> list[dict]:
        shown = {
            "system": "system",
            "question": "user",
            "prompt": "user",
            "answer": "learned",
            "chosen": "learned",
            "rejected": "worse",
            "text": "text",
        }
        turns = []
        for key in ("system", "question", "prompt", "answer", "chosen", "rejected", "text"):
            if name := self.mapping.get(key):
                values = self.columns[name]
                value = values[index] if index < len(values) else ""
                turns.append({"role": shown[key], "content": "" if value is None else str(value)})
        return [turn for turn in turns if turn["role"] != "system" or turn["content"]]
