"""What a machine with training workers says of itself: its processors and memory, the device of each worker."""

import logging
import socket

from django.conf import settings
from django.db.models import F

from apex.settings.queues import device_of
from training.engine.hardware import Hardware, read_driver, read_hardware
from training.models import Device, DeviceKind, Node

logger = logging.getLogger(__name__)


def announce(queue: str) -> Device:
    """Writes down this machine and the one device whose queue a worker serves here. Said again at every start.

    What the house decides of a device (whether it takes trainings, its price) stays as it is.
    """
    hardware = read_hardware()
    node = announce_node(hardware)
    kind, index = device_of(queue)
    name, memory = describe_device(hardware, kind, index)
    device, _made = Device.objects.update_or_create(
        node=node, kind=kind, index=index, defaults={"queue": queue, "name": name, "memory_bytes": memory}
    )
    return device


def announce_node(hardware: Hardware) -> Node:
    """The row of this machine, brought up to date. Two machines with one name would share their devices' leases."""
    hostname = socket.gethostname()[:200]
    before = Node.objects.filter(name=settings.NODE_NAME).first()
    if before and before.is_online and before.hostname != hostname:
        logger.warning(
            "this machine (%s) and %s both call themselves %r; give each a name of its own with APEX_NODE",
            hostname,
            before.hostname,
            settings.NODE_NAME,
        )
    facts = {
        "hostname": hostname,
        "cpus": hardware.cpus,
        "memory_bytes": hardware.memory_total_bytes,
        "driver": read_driver()[:60],
        "is_online": True,
    }
    node, _made = Node.objects.update_or_create(name=settings.NODE_NAME, defaults=facts)
    return node


def describe_device(hardware: Hardware, kind: str, index: int) -> tuple[str, int]:
    """Name and memory (bytes) of a device; of a GPU that `nvidia-smi` does not list, nothing is known."""
    if kind == DeviceKind.CPU:
        return "", hardware.memory_total_bytes
    gpu = next((gpu for gpu in hardware.gpus if gpu.index == index), None)
    return (gpu.name[:100], gpu.memory_total_bytes) if gpu else ("", 0)


def beat(node_id: int) -> bool:
    """One heartbeat of a machine; False if its row was deleted, and it has to be announced again."""
    return bool(Node.objects.filter(pk=node_id).update(beats=F("beats") + 1, is_online=True))
