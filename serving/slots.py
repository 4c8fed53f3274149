"""The slot planner: which adapters a server holds now and which wait on disk. Pure: rows go in, names come out."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Wish:
    """An adapter that shall be on the server. `last_used` in seconds of any one clock; 0: never.

    `is_needed`: it has to be there whatever its age, since it is being checked or is finishing its last answers.
    """

    name: str
    rank: int
    last_used: float = 0.0
    is_needed: bool = False


@dataclass(frozen=True)
class Room:
    """What a server has room for: adapters at once, the largest rank, and registrations left until it restarts.

    `loads_left` None: as many as one likes. vLLM on a processor forgets a name but keeps the weights in their slot, so
    there each registration takes one for good.
    """

    most_adapters: int
    most_rank: int
    loads_left: int | None = None


@dataclass(frozen=True)
class Plan:
    """What to do, in this order: unload, then load. Every wish is in exactly one of keep, load, rest and too_large."""

    keep: list[str] = field(default_factory=list)
    unload: list[str] = field(default_factory=list)
    load: list[str] = field(default_factory=list)
    rest: list[str] = field(default_factory=list)
    too_large: list[str] = field(default_factory=list)


def plan_slots(wishes: Iterable[Wish], *, here: Collection[str], room: Room, strangers: int = 0) -> Plan:
    """The most recently used adapters that fit, those that are needed first; of equals the one that is there stays.

    `here` are the names of ours that the server has registered, wished for or not; `strangers` counts other people's,
    which take up room and are left alone.
    """
    wishes, present = list(wishes), set(here)
    too_large = [wish.name for wish in wishes if wish.rank > room.most_rank]
    fitting = [wish for wish in wishes if wish.rank <= room.most_rank]
    fitting.sort(key=lambda wish: (not wish.is_needed, -wish.last_used, wish.name not in present, wish.name))
    places = max(0, room.most_adapters - strangers)
    left = len(fitting) if room.loads_left is None else max(0, room.loads_left)
    chosen: list[str] = []
    for wish in fitting:
        if len(chosen) == places:
            break
        if wish.name not in present:
            if not left:
                continue
            left -= 1
        chosen.append(wish.name)
    return Plan(
        keep=[name for name in chosen if name in present],
        unload=sorted(present - set(chosen)),
        load=[name for name in chosen if name not in present],
        rest=[wish.name for wish in fitting if wish.name not in chosen],
        too_large=too_large,
    )


def most_adapters_for(*, slots: int, needs_free_slot: bool) -> int:
    """How many adapters a server with this many slots may hold."""
    return max(0, slots - 1) if needs_free_slot else slots
