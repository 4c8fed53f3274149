"""Where a training could run: this machine, the nodes that announced themselves, kinds of rented machines."""

import socket
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal

from django.utils.translation import gettext as _

from training import calibration
from training.engine.estimate import Target, gpu_target, target_of
from training.engine.hardware import Hardware, read_hardware
from training.engine.speed import hardware_key
from training.models import Device, DeviceKind, HardwareOffer, TrainingJob

HERE, NODE, OFFER = "here", "node", "offer"


@dataclass(frozen=True)
class Prices:
    """US dollars an hour for all devices of a place together; `low` to `high` where it may be taken away (spot)."""

    low: Decimal | None = None
    high: Decimal | None = None
    on_demand: Decimal | None = None
    source: str = ""
    priced_at: date | None = None

    def cost(self, seconds: float) -> dict[str, float | None]:
        """US dollars for so long."""
        hours = Decimal(seconds) / 3600
        named = {"low": self.low, "high": self.high, "on_demand": self.on_demand}
        return {
            name: None if price is None else round(float(price * hours), 4) for name, price in named.items()
        }


@dataclass(frozen=True)
class Place:
    """`kind` is here, node or offer; `name` as people read it, `hardware` as past trainings name theirs."""

    kind: str
    name: str
    target: Target
    prices: Prices
    past: calibration.Past | None = None

    @property
    def hardware(self) -> str:
        return hardware_key(self.target.name)


def own_places(base_model, devices: int, past: list[TrainingJob]) -> list[Place]:
    """This machine first, then other nodes that are online, each with at least so many devices of a kind."""
    hardware = read_hardware()
    found = _announced(devices, hardware)
    if not any(place.kind == HERE for place in found):
        found += _unannounced(devices, hardware)
    found.sort(key=lambda place: (place.kind != HERE, not place.target.is_gpu))
    return [_calibrated(place, base_model, past) for place in found]


def rented_places(base_model, devices: int, past: list[TrainingJob]) -> list[Place]:
    """The kinds of machines in the price table, small to large; several of them where more devices are asked for."""
    found = []
    for offer in HardwareOffer.objects.filter(is_shown=True):
        count = max(devices, offer.gpu_count)
        times = Decimal(count) / offer.gpu_count
        target = gpu_target(offer.gpu_name, offer.memory_bytes, teraflops=offer.teraflops, devices=count)
        prices = Prices(
            *(
                None if price is None else price * times
                for price in (offer.spot_low, offer.spot_high, offer.on_demand)
            ),
            source=offer.source,
            priced_at=offer.priced_at,
        )
        name = offer.name if times == 1 else f"{offer.name} × {times.normalize():f}"
        found.append(_calibrated(Place(OFFER, name, target, prices), base_model, past))
    return found


def _announced(devices: int, hardware: Hardware) -> list[Place]:
    """One place for each kind of device of each node. Of this machine, what is free is known; of others, not."""
    groups: dict[tuple, list[Device]] = {}
    online = Device.objects.filter(is_enabled=True, node__is_online=True).select_related("node")
    for device in online:
        groups.setdefault((device.node_id, device.kind, device.name), []).append(device)
    found = []
    for members in groups.values():
        first, node = members[0], members[0].node
        is_here = node.hostname == socket.gethostname()[:200]
        if first.kind == DeviceKind.GPU:
            if len(members) < devices:
                continue
            free = {gpu.index: gpu.memory_free_bytes for gpu in hardware.gpus} if is_here else {}
            target = gpu_target(first.name, first.memory_bytes, free.get(first.index), devices=devices)
        else:
            if node.cpus < devices:
                continue
            free_bytes = hardware.memory_free_bytes if is_here else first.memory_bytes
            target = processor(node.cpus, first.memory_bytes, free_bytes, devices)
        name = _("This machine") if is_here else node.name
        priced = members[:devices] if target.is_gpu else members[:1]
        prices = Prices(on_demand=sum((device.price_per_hour for device in priced), Decimal(0)))
        found.append(Place(HERE if is_here else NODE, name, target, prices))
    return found


def _unannounced(devices: int, hardware: Hardware) -> list[Place]:
    """This machine before any worker has spoken for it."""
    if hardware.gpus and devices <= len(hardware.gpus):
        target = replace(target_of(hardware), devices=devices)
    elif not hardware.gpus and devices <= hardware.cpus:
        total, free = hardware.memory_total_bytes, hardware.memory_free_bytes
        target = processor(hardware.cpus, total, free, devices)
    else:
        return []
    return [Place(HERE, _("This machine"), target, Prices(on_demand=Decimal(0)))]


def processor(cpus: int, memory_bytes: int, free_bytes: int, processes: int) -> Target:
    """A processor whose cores and memory so many processes share."""
    return Target(
        f"cpu ({cpus} cores)",
        memory_bytes // processes,
        free_bytes // processes,
        cpus=max(1, cpus // processes),
        devices=processes,
    )


def _calibrated(place: Place, base_model, jobs: list[TrainingJob]) -> Place:
    past = calibration.past_of(place.hardware, base_model, jobs)
    if past is None:
        return place
    target = replace(place.target, factor=past.factor, beside_factor=past.beside)
    return replace(place, past=past, target=target)
