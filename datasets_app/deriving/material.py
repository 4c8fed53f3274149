"""What a new version is made of, and what every way of making one promises."""

from collections.abc import Callable, Iterable, Iterator, Set
from dataclasses import dataclass, field
from typing import Any, Protocol

Row = dict[str, Any]


class BadRecipe(ValueError):
    """A recipe that cannot be followed; `str()` names the setting and what was expected, `field` the setting."""

    def __init__(self, message: str, field: str = "settings") -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True)
class Judgement:
    """What the owner's review says of a row."""

    verdict: str = ""
    rating: int | None = None
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Other:
    """Another version to merge. `key` is the same for versions of one dataset."""

    name: str
    key: str
    rows: Callable[[], Iterable[Row]]


@dataclass(frozen=True)
class Material:
    """The rows of the version that a recipe starts from, and what is known of them.

    `rows` starts anew at each call; `codes_of(number, row)` are the codes of faults found in a row (number from 0);
    `judgements` goes by row key; `tokens_of` counts the tokens of a row, where a base model was named.
    """

    rows: Callable[[], Iterable[Row]]
    kind: str = "chat"
    key: str = ""
    codes_of: Callable[[int, Row], Set[str]] = lambda number, row: frozenset()
    judgements: dict[str, Judgement] = field(default_factory=dict)
    tokens_of: Callable[[Row], int] | None = None
    others: tuple[Other, ...] = ()


class Making(Protocol):
    """Yields the rows of the new version, once. `told` is JSON about what was done, complete after the iteration."""

    told: dict[str, Any]

    def __init__(self, material: Material, settings: Any) -> None: ...

    def __iter__(self) -> Iterator[Row]: ...
