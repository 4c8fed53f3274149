"""The vLLM that Apex starts by itself: what it is started with, and its row among the servers of models."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

from django.conf import settings
from django.utils.translation import gettext as _

from apex.common.secrets import Context, hint_of, seal
from apex.processes import vllm_cpu
from base_models.models import BaseModel
from serving.models import Hardware, Node
from serving.vllm_command import VllmServer

NODE = "vLLM of Apex"  # the name of its row


class CannotServe(Exception):
    """`str()` says what to do."""


def local_server(base_model_name: str = "") -> VllmServer:
    """What `settings.VLLM` asks for, for the base model of that name or the one that is set. Raises CannotServe."""
    chosen = settings.VLLM
    base_model = find_base_model(base_model_name or chosen["base_model"])
    is_gpu = chosen["device"] == "gpu"
    program = find_program(chosen["program"], is_gpu=is_gpu)
    return VllmServer(
        program=program,
        base_directory=base_model.path,
        served_name=base_model.name,
        host=chosen["host"],
        port=chosen["port"],
        is_gpu=is_gpu,
        adapters=chosen["adapters"],
        most_rank=chosen["most_rank"],
        context=chosen["context"],
        api_key=chosen["api_key"],
        is_mended=program == vllm_cpu.program(Path(settings.DATA_DIR)),
        more=tuple(shlex.split(chosen["options"])),
    )


def find_base_model(name: str) -> BaseModel:
    """The base model of that name, with its files on this machine."""
    known = BaseModel.objects.on_this_machine()
    if not name:
        raise CannotServe(
            _("Say which base model: APEX_VLLM_BASE_MODEL, or --base-model. There are %(names)s.")
            % {"names": ", ".join(known.values_list("name", flat=True)) or _("none on this machine")}
        )
    found = known.filter(name=name).first()
    if found is None:
        raise CannotServe(
            _("There is no base model “%(name)s” on this machine; there are %(names)s.")
            % {"name": name, "names": ", ".join(known.values_list("name", flat=True)) or "0"}
        )
    return found


def find_program(given: str, *, is_gpu: bool) -> Path:
    """The `vllm` to start: the one that is set, the one that `make vllm-cpu` has built, the one on the PATH."""
    if given:
        if not Path(given).is_file():
            raise CannotServe(_("APEX_VLLM_PROGRAM is %(path)s; there is no such file.") % {"path": given})
        return Path(given)
    if not is_gpu and (built := vllm_cpu.program(Path(settings.DATA_DIR))):
        return built
    if on_path := shutil.which("vllm"):
        return Path(on_path)
    if is_gpu:
        raise CannotServe(
            _(
                "vLLM is not on the PATH. Install it into an environment of its own (docs.vllm.ai says how) and "
                "name its program in APEX_VLLM_PROGRAM."
            )
        )
    raise CannotServe(_("vLLM for processors is not installed here. Run: make vllm-cpu"))


def note_node(server: VllmServer) -> Node:
    """The row of a server that is about to start, made or brought up to date; whether it is in use stays as it was."""
    node = Node.objects.filter(name=NODE).first() or Node(name=NODE)
    facts = {
        "backend": "vllm",
        "address": server.url.replace("0.0.0.0", "127.0.0.1"),
        "base_model": BaseModel.objects.get(name=server.served_name),
        "served_name": server.served_name,
        "hardware": Hardware.GPU if server.is_gpu else Hardware.CPU,
        "is_mended": server.is_mended,
        "adapter_slots": server.slots,
        "most_adapters": server.adapters,
        "most_rank": server.rank_ceiling,
        "sealed_key": seal(server.api_key, Context.of(node, "sealed_key")) if server.api_key else "",
        "key_hint": hint_of(server.api_key) if server.api_key else "",
        "loads_since_start": 0,
    }
    for name, value in facts.items():
        setattr(node, name, value)
    # Only these: others may be noting its health meanwhile.
    node.save(update_fields=None if node._state.adding else list(facts))
    return node
