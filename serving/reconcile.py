"""Makes true what the rows want: each node is asked what it has, and gets what is missing.

It runs every `SERVING_LOOK_SECONDS` and whenever somebody changed a wish. Whoever comes second to a node leaves a word
and goes (`node_leases`); loading what is loaded and unloading what is not are no errors; each status is moved by one
conditional update. So it may run anywhere, at any time, as often as one likes. Nodes are looked after side by side: one
that is away holds up no other. Directories of adapters are never touched.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import Any

from asgiref.sync import async_to_sync, sync_to_async
from django.conf import settings
from django.utils import timezone

from apex.common.secrets import SecretError
from serving import loading, node_leases, placing, settling
from serving.backends.base import Backend
from serving.figures import is_another_run, read_figures
from serving.in_flight import is_answering
from serving.models import EMBEDDED, Deployment, Health, Node, Placement, PlacementState, Status
from serving.nodes import SEEN_NOTED, backend_of, note_health, was_seen_within
from serving.protocol import ApiError

logger = logging.getLogger(__name__)

ASK_SECONDS = 5
# Longer than a web process may still send questions to a version that it found a moment ago.
DRAIN_SECONDS = 6
# An answer that takes longer than that is one that nobody waits for.
LONGEST_DRAIN_SECONDS = 900


def reconcile() -> None:
    """Looks after everything once."""
    end_drained()
    nodes = list(Node.objects.enabled().values_list("pk", flat=True))
    if nodes:
        async_to_sync(look_after_all)(nodes, look_after_and_settle)
    settling.settle_all()


async def look_after_and_settle(node_id) -> None:
    """What follows for deployments does not wait for the other nodes: one may say nothing for `ASK_SECONDS`."""
    await look_after(node_id)
    await sync_to_async(settling.settle_all)()


async def look_after_all(node_ids, look) -> None:
    found = await asyncio.gather(*(look(node_id) for node_id in node_ids), return_exceptions=True)
    for node_id, problem in zip(node_ids, found, strict=True):
        if isinstance(problem, BaseException):
            logger.error("looking after node %s broke off", node_id, exc_info=problem)


async def look_after(node_id) -> None:
    """Looks after one node, and once more for each word that came meanwhile."""
    if await sync_to_async(is_at_rest)(node_id):
        return
    token = await sync_to_async(node_leases.take)(node_id)
    if token is None:
        return
    is_ours = True
    while is_ours:
        try:
            await pass_over(node_id, token)
        except BaseException:
            await Node.objects.filter(pk=node_id, lease=token).aupdate(lease=None, lease_until=None)
            raise
        is_ours = not await sync_to_async(node_leases.give_back)(node_id, token)


def is_at_rest(node_id) -> bool:
    """Whether it is the embedded process, well a moment ago and with nothing to do: an idle site writes nothing."""
    node = Node.objects.filter(pk=node_id, backend=EMBEDDED, health=Health.UP).first()
    return node is not None and was_seen_within(node, SEEN_NOTED) and not placing.has_work_on_demand(node)


async def pass_over(node_id, token) -> None:
    """Asks the node what it has, unloads what nobody wants, loads and checks what is missing."""
    node = await Node.objects.select_related("base_model").filter(pk=node_id, is_enabled=True).afirst()
    if node is None:
        return
    try:
        backend = await sync_to_async(backend_of)(node)
    except (SecretError, ValueError, KeyError) as problem:
        await sync_to_async(note_health)(node, Health.WRONG, str(problem))
        return
    if node.backend == EMBEDDED:
        work = await sync_to_async(placing.work_on_demand)(node)
        if not await is_there(node, backend, is_needed=bool(work.load)):
            return
    else:
        names = await names_on(node, backend)
        if names is None or not node.takes_adapters:
            return
        work = await sync_to_async(placing.work_for)(node, names)
        if node.health == Health.MIXING and not work.here and not node.figures.get("started"):
            await sync_to_async(note_health)(node, Health.UP)  # started again, as far as one can tell
    for name in work.unload:
        await unload(node, backend, name, work.here)
    for placement in work.load:
        if node.health == Health.MIXING or not await sync_to_async(node_leases.renew)(node_id, token):
            return
        if not await loading.put_on_node(node, backend, placement, work.here):
            return


async def is_there(node: Node, backend: Backend, *, is_needed: bool) -> bool:
    """Whether the embedded process answers; asked rarely while there is nothing to do, for it also rests."""
    if node.health == Health.UP and was_seen_within(node, SEEN_NOTED) and not is_needed:
        return True
    try:
        async with asyncio.timeout(ASK_SECONDS):
            is_up = await backend.is_healthy()
            figures = await read_figures(node, backend) if is_up else {}
    except TimeoutError:
        is_up, figures = False, {}
    words = "" if is_up else "It is not up. It starts within seconds; if it does not, its log says why."
    await sync_to_async(note_health)(node, Health.UP if is_up else Health.AWAY, words)
    await keep_figures(node, figures)
    return is_up


async def names_on(node: Node, backend: Backend) -> list[str] | None:
    """What the server says it has; None, and written down, if it is not there or not the right one."""
    try:
        async with asyncio.timeout(ASK_SECONDS):
            names = await backend.models()
            figures = await read_figures(node, backend)
    except (ApiError, TimeoutError) as problem:
        words = str(problem) or f"It did not answer within {ASK_SECONDS} s."
        await sync_to_async(note_health)(node, Health.AWAY, words)
        return None
    if node.served_name not in names:
        words = f"It serves {', '.join(names[:5]) or 'nothing'}, not {node.served_name!r}."
        await sync_to_async(note_health)(node, Health.WRONG, words)
        return None
    if is_another_run(node.figures, figures):
        await sync_to_async(placing.note_started_again)(node)
        await sync_to_async(note_health)(node, Health.UP)
    elif node.health != Health.MIXING:
        await sync_to_async(note_health)(node, Health.UP)
    await keep_figures(node, figures)
    return names


async def keep_figures(node: Node, figures: dict[str, Any]) -> None:
    if figures:
        await Node.objects.filter(pk=node.pk).aupdate(figures=figures)


async def unload(node: Node, backend: Backend, name: str, here: set[str]) -> None:
    try:
        async with asyncio.timeout(ASK_SECONDS):
            await backend.unload_adapter(name)
        here.discard(name)
    except (ApiError, TimeoutError) as problem:
        logger.warning("%s stays on %s for now: %s", name, node, problem)


def end_drained() -> None:
    """Deployments whose last answers are given have ended; their nodes are told to forget them."""
    for deployment in Deployment.objects.filter(status=Status.DRAINING).select_related("owner", "adapter"):
        if is_drained(deployment):
            settling.end(deployment)


def is_drained(deployment: Deployment) -> bool:
    """No question comes any more, and no answer is under way; or it has lasted too long."""
    since = deployment.draining_at or timezone.now()
    waited = timezone.now() - since
    if waited < timedelta(seconds=getattr(settings, "SERVING_DRAIN_SECONDS", DRAIN_SECONDS)):
        return False
    if waited > timedelta(seconds=LONGEST_DRAIN_SECONDS):
        return True
    return is_answering(deployment.serving_name) is False


async def bring_back(deployment_id) -> None:
    """An adapter that waits on disk is asked for: it was used last now, so it gets a slot. Does nothing more."""
    await Deployment.objects.filter(pk=deployment_id).aupdate(last_used_at=timezone.now())
    resting = Placement.objects.filter(
        deployment=deployment_id, state=PlacementState.RESTING, node__is_enabled=True, node__health=Health.UP
    )
    nodes = [node async for node in resting.values_list("node", flat=True)]
    if nodes:
        await look_after_all(nodes, look_after)
