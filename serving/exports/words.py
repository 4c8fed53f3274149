"""What kinds of export there are, in words, and what each is told."""

from __future__ import annotations

import re
from dataclasses import dataclass

from django.conf import settings
from django.utils.functional import Promise
from django.utils.text import slugify
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from serving.exports.engine import converters
from serving.exports.models import Export, ExportKind, ExportStatus
from training.models import Adapter

# A repository of the hub: owner/name.
REPO = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}")

SHAPES = {
    ExportStatus.QUEUED: "queued",
    ExportStatus.RUNNING: "running",
    ExportStatus.DONE: "succeeded",
    ExportStatus.FAILED: "failed",
    ExportStatus.CRASHED: "crashed",
    ExportStatus.CANCELLED: "cancelled",
    ExportStatus.EXPIRED: "cancelled",
}
# What the child says that it is doing.
STEPS = {
    "loading": gettext_lazy("The base model is loaded."),
    "merging": gettext_lazy("What it learned is added to the base model."),
    "writing": gettext_lazy("The whole model is written."),
    "converting": gettext_lazy("It is converted to GGUF."),
    "packing": gettext_lazy("It is packed, and every file gets its checksum."),
    "pushing": gettext_lazy("It goes to the hub."),
    "storing": gettext_lazy("It is put away for download."),
}


# What a number takes in a GGUF.
TYPE_WORDS = {
    "f16": gettext_lazy("16 bits, opens everywhere"),
    "bf16": gettext_lazy("16 bits, as most models are trained"),
    "f32": gettext_lazy("32 bits, the most exact and twice as large"),
    "q8_0": gettext_lazy("8 bits, half as large and nearly as good"),
    "tq1_0": gettext_lazy("1.7 bits, for models made of −1, 0 and 1 alone"),
    "tq2_0": gettext_lazy("2 bits, for models made of −1, 0 and 1 alone"),
}


@dataclass(frozen=True)
class Kind:
    """`room`: bytes that making it takes on the disk at most, as a multiple of the base model and the adapter."""

    title: Promise
    about: Promise
    room: float
    options: tuple[str, ...] = ()
    types: tuple[str, ...] = ()  # of GGUF
    needs_converters: bool = False
    content_type: str = "application/zip"


KINDS: dict[str, Kind] = {
    ExportKind.MERGED: Kind(
        gettext_lazy("The whole model"),
        gettext_lazy(
            "Base and adapter as one, in safetensors: for transformers, vLLM and what else opens those."
        ),
        room=2.2,
    ),
    ExportKind.OLLAMA: Kind(
        gettext_lazy("For Ollama"),
        gettext_lazy("The whole model with a Modelfile that has its template and stop words, in one zip."),
        room=3.2,
    ),
    ExportKind.GGUF: Kind(
        gettext_lazy("The whole model as GGUF"),
        gettext_lazy("One file for llama.cpp, LM Studio and others."),
        room=4.2,
        options=("type",),
        types=converters.TYPES,
        needs_converters=True,
        content_type="application/octet-stream",
    ),
    ExportKind.ADAPTER_GGUF: Kind(
        gettext_lazy("The adapter as GGUF"),
        gettext_lazy("A small file that llama.cpp adds to a GGUF of the base model (--lora)."),
        room=0.1,
        options=("type",),
        types=converters.ADAPTER_TYPES,
        needs_converters=True,
        content_type="application/octet-stream",
    ),
    ExportKind.HUB: Kind(
        gettext_lazy("To the Hugging Face Hub"),
        gettext_lazy(
            "Into a repository of yours. The token is kept encrypted until then, and forgotten after."
        ),
        room=1.1,
        options=("repo", "what", "private"),
    ),
}


def has_converters() -> bool:
    return converters.are_here(settings.LLAMA_CPP_DIR)


def says(export: Export) -> str:
    """What is going on, in a sentence."""
    match export.status:
        case ExportStatus.QUEUED:
            return _("One of yours is made at a time; it begins when the one before is done.")
        case ExportStatus.RUNNING:
            return str(STEPS.get(export.step, _("It begins.")))
        case ExportStatus.DONE:
            return _("It is in your repository.") if export.link else _("Ready to download.")
        case ExportStatus.EXPIRED:
            return _("It was kept for %(days)s days. Make it again if you need it.") % {
                "days": f"{settings.EXPORT_KEEP_DAYS:g}"
            }
        case ExportStatus.CANCELLED:
            return _("You stopped it. Nothing of it was kept.")
    return export.message


def serve_lines(name: str, base: str) -> list[tuple[str, str]]:
    """`(what, command)` that serve what was exported elsewhere, from the folder in which it was unpacked."""
    return [
        (_("The whole model, by vLLM"), f"vllm serve ./{name}-merged --served-model-name {name}"),
        (
            _("The whole model, by vLLM in Docker"),
            f'docker run --gpus all --ipc=host -p 8000:8000 -v "$PWD/{name}-merged:/model" \\\n'
            f"  vllm/vllm-openai:latest --model /model --served-model-name {name}",
        ),
        (
            _("The adapter beside its base model, by vLLM"),
            f"vllm serve {base} --enable-lora --max-lora-rank 64 --lora-modules {name}=./{name}",
        ),
        (_("The GGUF, by llama.cpp"), f"llama-server -m {name}-f16.gguf --port 8000"),
        (
            _("The GGUF, by llama.cpp in Docker"),
            f'docker run -p 8000:8000 -v "$PWD:/models" ghcr.io/ggml-org/llama.cpp:server \\\n'
            f"  -m /models/{name}-f16.gguf --host 0.0.0.0 --port 8000",
        ),
        (_("The bundle, by Ollama"), f"ollama create {name} -f Modelfile && ollama run {name}"),
    ]


def file_stem(adapter: Adapter) -> str:
    """Good as the name of a file and of a model, and another for each adapter."""
    return f"{slugify(adapter.name)[:40] or 'adapter'}-{slugify(adapter.model_id.rpartition(':')[2])}"


def hub_endpoint() -> str:
    return (settings.HUB_ENDPOINT or "https://huggingface.co").rstrip("/")
