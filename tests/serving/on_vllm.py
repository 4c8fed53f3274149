"""What the tests on a real vLLM do with it, through the rows that Apex keeps of it."""

import time
from collections.abc import Callable

from asgiref.sync import async_to_sync

from serving import deploying, reconcile
from serving.backends.vllm import VllmBackend
from serving.models import COMING, Deployment, Node, Placement
from serving.node_services import add_node


def names_on(vllm) -> list[str]:
    return async_to_sync(VllmBackend(vllm.url).models)()


def take_all_off(vllm) -> None:
    """Leaves only its base on the server."""

    async def unload_all() -> None:
        backend = VllmBackend(vllm.url)
        for name in await backend.models():
            if name != "demo":
                await backend.unload_adapter(name)

    async_to_sync(unload_all)()


def make_real_node(vllm, base_model) -> Node:
    """The server's row, as `manage.py serve_vllm` would write it."""
    command = vllm.command
    node = add_node(
        name="one", address=vllm.url, base_model=base_model, served_name="demo", hardware="cpu",
        adapter_slots=command.slots, most_rank=command.most_rank,
    )  # fmt: skip
    Node.objects.filter(pk=node.pk).update(is_mended=command.is_mended, most_adapters=command.adapters)
    node.refresh_from_db()
    return node


def look(until: Callable[[], bool], seconds: float = 60) -> float:
    """Looks after the node until something is so; how long that took."""
    began = time.monotonic()
    while not until():
        states = list(Placement.objects.values("state", "reason", "message"))
        assert time.monotonic() - began < seconds, states
        reconcile.reconcile()
    return time.monotonic() - began


def put_to_work(adapter) -> Deployment:
    """Until it is at work or refused."""
    deployment = deploying.deploy_adapter(adapter=adapter, by=adapter.owner)
    look(lambda: not Deployment.objects.filter(pk=deployment.pk, status__in=COMING).exists())
    deployment.refresh_from_db()
    return deployment
