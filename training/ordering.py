"""Who is next, and why the others wait. Plain functions over plain rows; `training.waiting` reads the rows.

Priority comes first; then fair shares: the person with the fewest devices at work, then the one who had the least of
them in the last day; then first come. The list is dealt like cards: each job that is placed counts as a device of its
owner before the next is chosen. A job that needs several devices is not overtaken on the machine that it waits for.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

NEVER = math.inf  # seconds until something of which nothing is known


@dataclass(frozen=True)
class Slot:
    """A device: `holder` is the job that has it, `free_in` the seconds until it is free (0 now, NEVER unknown)."""

    queue: str
    node: int
    kind: str = "gpu"
    memory_bytes: int = 0  # 0: unknown
    cpus: int = 1  # of its node
    is_online: bool = True
    is_enabled: bool = True
    holder: Any = None
    free_in: float = 0.0


@dataclass(frozen=True)
class Asked:
    """A waiting job. `place` orders by arrival; `seconds` is how long it is expected to take (None: unknown)."""

    job: Any
    owner: Any
    place: Any
    priority: int = 0
    device_count: int = 1
    memory_bytes: int | None = None
    wanted_queue: str = ""
    seconds: float | None = None


@dataclass(frozen=True)
class Reason:
    """Why a job waits: `soon`, `behind`, `busy`, `no_worker`, `disabled`, `too_many`, `too_large`, `no_such_device`.

    `before`: jobs whose turn is earlier, `after` the last of them; `starts_in` seconds, None if nobody can tell.
    """

    kind: str
    before: tuple = ()
    starts_in: float | None = None
    most: int = 0  # too_many: devices of the largest machine; too_large: bytes of its largest device

    @property
    def after(self) -> Any:
        return self.before[-1] if self.before else None


def in_order(
    asked: Iterable[Asked], devices_of: Mapping[Any, int], seconds_of: Mapping[Any, float]
) -> list[Asked]:
    """The waiting jobs in the order of their turns. By owner: devices now (`devices_of`), lately (`seconds_of`)."""
    having, found = dict(devices_of), []
    lines: dict[int, dict[Any, list[Asked]]] = {}
    for one in sorted(asked, key=lambda one: one.place, reverse=True):
        lines.setdefault(one.priority, {}).setdefault(one.owner, []).append(one)
    for priority in sorted(lines, reverse=True):
        owners = lines[priority]
        while owners:
            owner = min(
                owners,
                key=lambda who: (having.get(who, 0), seconds_of.get(who, 0.0), owners[who][-1].place),
            )
            following = owners[owner].pop()
            if not owners[owner]:
                del owners[owner]
            found.append(following)
            having[owner] = having.get(owner, 0) + following.device_count
    return found


def fits(one: Asked, slot: Slot) -> bool:
    """Whether the device has the memory that the job asks for. An unknown size is no reason to refuse."""
    return one.memory_bytes is None or not slot.memory_bytes or slot.memory_bytes >= one.memory_bytes


def needed(one: Asked, slot: Slot) -> int:
    """How many devices of this kind the job takes: a processor runs several processes by itself."""
    return 1 if slot.kind == "cpu" else one.device_count


def groups(one: Asked, slots: Iterable[Slot]) -> list[list[Slot]]:
    """The devices among which each machine could serve the job, with at least as many as it takes in each group."""
    found = []
    by_machine: dict[tuple, list[Slot]] = {}
    for slot in slots:
        if slot.is_online and slot.is_enabled and fits(one, slot):
            by_machine.setdefault((slot.node, slot.kind), []).append(slot)
    for members in by_machine.values():
        if one.wanted_queue and not any(slot.queue == one.wanted_queue for slot in members):
            continue
        if members[0].kind == "cpu" and members[0].cpus < one.device_count:
            continue
        if len(members) >= needed(one, members[0]):
            found.append(members)
    return found


def pick(one: Asked, members: list[Slot], first: str = "") -> list[Slot]:
    """The devices that the job takes of a machine: the wanted one, `first`, then those that are free soonest."""
    ranked = sorted(
        members,
        key=lambda slot: (
            bool(one.wanted_queue) and slot.queue != one.wanted_queue,
            slot.queue != first,
            slot.free_in,
            slot.queue,
        ),
    )
    return ranked[: needed(one, members[0])]


def next_for(queue: str, order: Iterable[Asked], slots: Iterable[Slot]) -> tuple[Asked, list[str]] | None:
    """What a worker of `queue` shall begin now, and on which devices; None if nothing is for it.

    A job that could begin elsewhere is left to the worker there; one that waits for more devices than are free
    keeps those of its machine.
    """
    left = {slot.queue: slot for slot in slots}
    for one in order:
        machines = groups(one, left.values())
        if not machines:
            continue
        ready = [chosen for members in machines if is_free(chosen := pick(one, members, queue))]
        ours = next((chosen for chosen in ready if any(slot.queue == queue for slot in chosen)), None)
        if ours:
            return one, [slot.queue for slot in ours]
        taken = (
            ready[0]
            if ready
            else min((pick(one, members) for members in machines), key=lambda chosen: free_in(chosen))
        )
        for slot in taken:
            del left[slot.queue]
    return None


def is_free(slots: Iterable[Slot]) -> bool:
    return all(slot.holder is None and slot.free_in <= 0 for slot in slots)


def free_in(slots: Iterable[Slot]) -> float:
    return max(slot.free_in for slot in slots)


@dataclass
class Timeline:
    """The devices as time goes on: each job takes the machine where it can begin first."""

    slots: dict[str, Slot] = field(default_factory=dict)

    def place(self, one: Asked) -> float:
        """Seconds until the job can begin; its devices are then busy for as long as it is expected to take."""
        chosen = min((pick(one, members) for members in groups(one, self.slots.values())), key=free_in)
        begins = free_in(chosen)
        ends = begins + one.seconds if one.seconds is not None else NEVER
        for slot in chosen:
            self.slots[slot.queue] = replace(slot, free_in=ends)
        return begins


def reasons(order: list[Asked], slots: list[Slot]) -> dict[Any, Reason]:
    """Job → why it waits and for about how long."""
    timeline = Timeline({slot.queue: slot for slot in slots})
    found: dict[Any, Reason] = {}
    placed: list[Asked] = []
    for one in order:
        if refusal := why_nowhere(one, slots):
            found[one.job] = refusal
            continue
        mine = {slot.queue for members in groups(one, slots) for slot in members}
        before = tuple(
            other.job
            for other in placed
            if mine & {slot.queue for members in groups(other, slots) for slot in members}
        )
        begins = timeline.place(one)
        placed.append(one)
        kind = "behind" if before and begins > 0 else "busy" if begins > 0 else "soon"
        found[one.job] = Reason(
            kind, before if kind == "behind" else (), begins if math.isfinite(begins) else None
        )
    return found


def why_nowhere(one: Asked, slots: list[Slot]) -> Reason | None:
    """Why no machine that is there now could ever begin the job; None if one can."""
    if groups(one, slots):
        return None
    if groups(one, [replace(slot, is_online=True) for slot in slots]):
        return Reason("no_worker")  # a machine that could is not there now
    everything = [replace(slot, is_online=True, is_enabled=True) for slot in slots]
    if groups(one, everything):
        return Reason("disabled")
    if not slots:
        return Reason("no_worker")
    if one.wanted_queue and one.wanted_queue not in {slot.queue for slot in slots}:
        return Reason("no_such_device")
    if groups(replace(one, memory_bytes=None), everything):
        return Reason("too_large", most=max(slot.memory_bytes for slot in slots))
    return Reason("too_many", most=most_devices(slots))


def most_devices(slots: list[Slot]) -> int:
    """The largest number of devices, or of processes on a processor, that one machine has."""
    counts: dict[tuple, int] = {}
    for slot in slots:
        key = (slot.node, slot.kind)
        counts[key] = slot.cpus if slot.kind == "cpu" else counts.get(key, 0) + 1
    return max(counts.values(), default=0)
