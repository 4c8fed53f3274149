"""What every check promises."""

from collections.abc import Iterator
from typing import Any, Protocol

from datasets_app.faults import Fault


class Check(Protocol):
    """Looks at the rows of one file, once each and in order, in flat memory.

    `see` gets a row as it would be stored (docs/architecture.md, "Rows": `conversation`, `line`, `split` and what
    its `kind` holds) and yields what can be said at once; `finish` yields what only the whole file shows.
    Faults are warnings: a check never leaves a row out. `summary` is JSON for the report's `profile`.

    On the fast way (`datasets_app.scanning`) perfect rows come as columns to those that have `see_many(columns)`,
    and one by one, decoded, to those that `scanning.flags.LOOK_OF_CHECK` names; a check that is neither makes the
    whole file go the careful way.
    """

    def see(self, row: dict[str, Any], kind: str) -> Iterator[Fault]: ...

    def finish(self) -> Iterator[Fault]: ...

    def summary(self) -> dict[str, Any]: ...
