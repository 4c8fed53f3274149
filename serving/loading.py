"""Puts one adapter on one node: registered, listed, asked for a token, compared with its training, among the others."""

from __future__ import annotations

import asyncio
import logging
import tempfile
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

from asgiref.sync import sync_to_async
from django.db.models import F
from django.utils.translation import gettext as _

from apex.common import files
from apex.common.states import move
from rendering import BadModel, Renderer, RenderError
from serving import parity, placing
from serving.adapter_check import check_adapter
from serving.backends.base import (
    AdapterFiles,
    AdapterRefused,
    Backend,
    BackendUnavailable,
    NotSupported,
    Target,
)
from serving.models import MOVES, Health, Node, Placement, PlacementState, Status
from serving.nodes import note_health
from serving.parity_words import words_for
from serving.probing import probe, probe_written, score_base, write_base
from serving.protocol import ApiError, ChatRequest

logger = logging.getLogger(__name__)

LOAD_SECONDS = 120
ASKED_TOGETHER = 4
SMOKE = [{"role": "user", "content": "Hello"}]


class Refused(Exception):
    """It does not go to work on this node. `reason` is a name, the message a sentence."""

    def __init__(self, reason: str, message: str, found: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.reason, self.found = reason, found


async def put_on_node(node: Node, backend: Backend, placement: Placement, here: set[str]) -> bool:
    """Loads and checks `placement`; adds its name to `here`. False if the node went away: leave it alone for now."""
    started = time.monotonic()
    deployment = placement.deployment
    if not await sync_to_async(placing.still_wanted)(deployment):
        return True
    await sync_to_async(move)(deployment, Status.LOADING, moves=MOVES, message="")
    try:
        async with asyncio.timeout(LOAD_SECONDS):
            found = await load_and_check(node, backend, placement, here)
    except Refused as problem:
        logger.warning("%s is not put on %s: %s", deployment, node, problem)
        await take_off(node, backend, placement, here)
        await sync_to_async(placing.refuse)(placement, problem.reason, str(problem), problem.found)
        return True
    except (BackendUnavailable, TimeoutError) as problem:
        words = str(problem) or _("%(node)s did not answer in time.") % {"node": node.name}
        await sync_to_async(placing.put_off)(placement, words)
        await sync_to_async(note_health)(node, Health.AWAY, words)
        return False
    except ApiError as problem:
        await sync_to_async(placing.put_off)(placement, problem.message)
        logger.warning("%s could not be put on %s yet: %s", deployment, node, problem)
        return True
    await sync_to_async(placing.note_loaded)(placement, found, time.monotonic() - started)
    return True


async def load_and_check(
    node: Node, backend: Backend, placement: Placement, here: set[str]
) -> dict[str, Any]:
    """What the comparison said. Raises Refused, or ApiError where the server is at fault."""
    deployment = placement.deployment
    directory = await asyncio.to_thread(local_directory, deployment.adapter.directory_sha256)
    record = await asyncio.to_thread(parity.read_record, directory)
    target = target_on(node, placement, directory)
    if record and not here and not node.loads_on_demand:
        await note_base(node, backend, record)
    await register(node, backend, target, here)
    await sync_to_async(move)(deployment, Status.CHECKING, moves=MOVES)
    await smoke(backend, target)
    renderer = await asyncio.to_thread(renderer_of, directory, target.base_path)
    found = await compare(node, backend, target, record, renderer)
    if found.is_equal is False:
        reason = found.reason
        if reason == parity.STALE and not await asyncio.to_thread(
            is_whole, directory, deployment.adapter.directory_sha256
        ):
            reason = parity.CORRUPTED
        told = found.as_json() | {"reason": reason}
        raise Refused(reason, words_for(told), told)
    if not node.loads_on_demand:
        await keep_apart(node, backend, target, here)
    return found.as_json()


async def compare(
    node: Node,
    backend: Backend,
    target: Target,
    record: dict[str, Any] | None,
    renderer: Renderer | None,
) -> parity.Parity:
    """What cannot be compared is not put to work, whatever keeps the server from telling.

    Apex's own process computes as the training did, so there it is enough that it answers.
    """
    names = {"name": target.loaded_name, "base_name": target.base_name}
    try:
        return await parity.compare(backend, **names, record=record, renderer=renderer)
    except BackendUnavailable:
        raise
    except ApiError as problem:
        if node.loads_on_demand and isinstance(problem, NotSupported):
            return parity.Parity(None, parity.NOT_TOLD)
        raise cannot_compare(problem) from problem


def cannot_compare(problem: ApiError) -> Refused:
    words = _("Its answers could not be compared with those of the training: %(why)s")
    return Refused("cannot_compare", words % {"why": problem.message})


def local_directory(sha256: str) -> Path:
    try:
        return files.local_directory(sha256)
    except (files.Damaged, FileNotFoundError) as problem:
        raise Refused(
            parity.CORRUPTED, _("The adapter's files are gone or damaged. Train it once more.")
        ) from problem


def target_on(node: Node, placement: Placement, directory: Path) -> Target:
    """As the node knows it: the embedded process by the adapter's own name, servers by the deployment's."""
    adapter = placement.deployment.adapter
    base = adapter.base_model
    name = adapter.model_id if node.loads_on_demand else placement.deployment.serving_name
    return Target(
        model_id=adapter.model_id,
        base_name=base.name if node.loads_on_demand else node.served_name,
        base_path=base.path,
        adapter=AdapterFiles(name, directory),
    )


async def register(node: Node, backend: Backend, target: Target, here: set[str]) -> None:
    """The server has it and lists it after this."""
    assert target.adapter is not None
    name, directory = target.adapter.name, target.adapter.path
    try:
        base = target.base_path if target.base_path.is_dir() and str(target.base_path) != "." else None
        await asyncio.to_thread(check_adapter, directory, most_rank=node.most_rank, base_directory=base)
        if node.loads_on_demand:
            await backend.ensure_loaded(target)
            return
        await backend.load_adapter(name, directory)
    except AdapterRefused as problem:
        raise Refused(problem.code or "adapter_refused", problem.message) from problem
    if name not in here:
        here.add(name)
        await Node.objects.filter(pk=node.pk).aupdate(loads_since_start=F("loads_since_start") + 1)
        node.loads_since_start += 1
    if name not in await backend.models():
        raise Refused("not_listed", _("%(node)s says it has it, but does not list it.") % {"node": node.name})


async def smoke(backend: Backend, target: Target) -> None:
    """One token: whatever is wrong with it shows here, before anybody asks it."""
    request = ChatRequest(model=target.loaded_name, messages=SMOKE, max_tokens=1, temperature=0)
    try:
        await backend.chat(target, request)
    except BackendUnavailable:
        raise
    except ApiError as problem:
        words = _("It cannot answer: %(why)s") % {"why": problem.message}
        raise Refused("cannot_answer", words) from problem


async def note_base(node: Node, backend: Backend, record: dict[str, Any]) -> None:
    """How the base answers while it is alone, for `keep_apart` to compare with."""
    if not any(prompt["answer_token_ids"] for prompt in record["prompts"]):
        return
    try:
        node.base_scores = await score_base(backend, node.served_name, record)
        if node.needs_free_slot:
            node.base_scores["written"] = await write_base(backend, node.served_name, record)
    except BackendUnavailable:
        raise
    except ApiError as problem:
        raise cannot_compare(problem) from problem
    await Node.objects.filter(pk=node.pk).aupdate(base_scores=node.base_scores)


async def keep_apart(node: Node, backend: Backend, target: Target, here: set[str]) -> None:
    """Base and adapters asked at once answer as alone, or the node is not asked at all. Raises Refused.

    Where it has been seen with as many adapters, it is not looked at again. A vLLM on a processor that nobody has
    mended is right while a slot is free, which only it knows: others may have used them up.
    """
    seen = node.probe.get("adapters", 0) if node.probe.get("is_right") else 0
    if not node.base_scores or len(here) <= seen:
        return
    records = await sync_to_async(records_on)(node, names_to_ask(target.loaded_name, here))
    if not records:
        return
    base = Target(model_id=node.served_name, base_name=node.served_name, base_path=target.base_path)
    if not node.needs_free_slot:
        found = await probe(backend, base=base, base_scores=node.base_scores, adapters=records)
    elif written := node.base_scores.get("written"):
        found = await probe_written(backend, base=base, written=written, adapters=list(records))
    else:
        return
    found["adapters"] = len(here)
    node.probe = found
    await Node.objects.filter(pk=node.pk).aupdate(probe=found)
    if found["is_right"]:
        return
    words = _(
        "%(node)s mixes answers up: asked at once, %(who)s answered otherwise than alone. It is not asked until it "
        "was started again, with more slots than adapters."
    ) % {"node": node.name, "who": ", ".join(found["wrong"])}
    await sync_to_async(note_health)(node, Health.MIXING, words)
    raise Refused(parity.MIXES, words)


def names_to_ask(new: str, here: set[str]) -> list[str]:
    """The newest and a few others: slots are taken by all that are there, and a batch is mixed by any."""
    return [new, *sorted(here - {new})[: ASKED_TOGETHER - 1]]


def records_on(node: Node, names: Collection[str]) -> dict[str, dict[str, Any]]:
    """parity.json of each of these adapters that is on the node, by its name there."""
    found = {}
    placements = Placement.objects.filter(node=node, deployment__serving_name__in=names)
    for each in placements.select_related("deployment__adapter"):
        record = parity.read_record(files.local_directory(each.deployment.adapter.directory_sha256))
        if record and each.state in (PlacementState.LOADED, PlacementState.WANTED):
            found[each.deployment.serving_name] = record
    return found


async def take_off(node: Node, backend: Backend, placement: Placement, here: set[str]) -> None:
    """What is refused does not stay on the server."""
    name = placement.deployment.serving_name
    if node.loads_on_demand or name not in here:
        return
    try:
        await backend.unload_adapter(name)
        here.discard(name)
    except ApiError as problem:
        logger.warning("%s stays on %s for now: %s", name, node, problem)


def renderer_of(*directories: Path) -> Renderer | None:
    """That of the first directory with a tokenizer and a template: the adapter's own, else its base's."""
    for directory in directories:
        try:
            return Renderer.from_directory(directory)
        except (BadModel, RenderError, OSError):
            continue
    return None


def is_whole(directory: Path, sha256: str) -> bool:
    """Whether the unpacked directory still is what was stored."""
    with tempfile.TemporaryDirectory() as folder:
        packed = files.pack_directory(directory, Path(folder) / "directory.zip")
        return files.stored_as(packed).sha256 == sha256
