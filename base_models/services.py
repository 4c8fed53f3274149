"""Brings base models into the catalogue."""

import logging
from functools import partial
from pathlib import Path

from django.conf import settings
from django.db import transaction
from django.utils.text import slugify
from django.utils.translation import gettext as _

from apex.common import names
from apex.common.queueing import send
from base_models.directory import ModelFacts, UnusableModel, inspect_directory
from base_models.models import BaseModel, Source

logger = logging.getLogger(__name__)
BUILT_IN = {"apex-demo": Path(__file__).parent / "demo" / "model"}
HUB_PATTERNS = [
    "*.safetensors",
    "*.safetensors.index.json",
    "*.json",
    "*.jinja",
    "tokenizer.model",
    "LICENSE*",
]


class AddRefused(Exception):
    """The model cannot be added; the message says why and what to do."""


def register_builtin_models() -> list[BaseModel]:
    """Makes the catalogue agree with the models that come with Apex. Cheap when nothing changed."""
    return [write_row(name, Source.BUILT_IN, str(path), path) for name, path in BUILT_IN.items()]


def add_directory(*, path: Path, name: str = "") -> BaseModel:
    """Adds the model in a directory on this machine. Only for superusers and the command line: it reads any path."""
    try:
        path = path.expanduser().resolve()
        path.is_dir()
    except (OSError, RuntimeError) as problem:
        raise AddRefused(
            _("%(path)s cannot be looked at: %(why)s") % {"path": path, "why": problem}
        ) from problem
    return write_row(free_name(name or path.name, str(path)), Source.DIRECTORY, str(path), path)


def add_from_hub(*, hub_id: str, revision: str = "main", name: str = "") -> BaseModel:
    """Adds a model by its hub id; a worker downloads it. Until then it is not on this machine."""
    if hub_id.count("/") > 1 or not hub_id.strip("/") or ".." in hub_id:
        raise AddRefused(_("%(id)s is no hub id; it looks like organisation/model.") % {"id": hub_id})
    model, created = BaseModel.objects.get_or_create(
        name=free_name(name or hub_id.rpartition("/")[2], hub_id),
        defaults={
            "display_name": hub_id.rpartition("/")[2],
            "source": Source.HUB,
            "location": hub_id,
            "revision": revision,
        },
    )
    BaseModel.objects.filter(pk=model.pk).update(problem="")
    transaction.on_commit(partial(send_download, model))
    return model


def send_download(model: BaseModel) -> None:
    if not send("base_models.tasks.download_model", {"model_id": str(model.pk)}, lost="its row says so"):
        BaseModel.objects.filter(pk=model.pk).update(
            problem=_("The queue is down; add it again when it is up.")
        )


def download(model: BaseModel) -> None:
    """Fetches a hub model's safetensors and settings into the data directory; the row says what went wrong."""
    import httpx2  # with the hub's client 1 s to import, and only needed here
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    hub = HfApi(endpoint=settings.HUB_ENDPOINT)
    try:
        commit = hub.model_info(model.location, revision=model.revision or None).sha
        path = hub.snapshot_download(
            model.location,
            revision=commit,
            local_dir=settings.DATA_DIR / "models" / model.name,
            allow_patterns=HUB_PATTERNS,
        )
        write_row(model.name, Source.HUB, model.location, Path(path), revision=commit)
    except (HfHubHTTPError, HFValidationError, OSError, httpx2.HTTPError) as problem:
        why = (str(problem).strip() or type(problem).__name__).splitlines()[0]
        note_problem(model, _("Could not be downloaded: %(why)s") % {"why": why})
    except UnusableModel as problem:
        note_problem(model, str(problem))
    except Exception as problem:
        note_problem(model, _("Apex broke while it looked at it: %(why)s") % {"why": type(problem).__name__})
        raise


def note_problem(model: BaseModel, problem: str) -> None:
    BaseModel.objects.filter(pk=model.pk).update(problem=problem[:500], is_on_this_machine=False)
    logger.warning("base model %s: %s", model.name, problem)


def free_name(wanted: str, location: str) -> str:
    """A name that programs can use; the same location keeps the name that it has."""
    known = BaseModel.objects.filter(location=location).first()
    if known:
        return known.name
    name = slugify(wanted.replace(".", "-")) or "model"
    taken = set(BaseModel.objects.filter(name__startswith=name).values_list("name", flat=True))
    return names.free_name(name, taken, joint="-")


def write_row(name: str, source: str, location: str, path: Path, revision: str = "") -> BaseModel:
    """One row for what lies in `path`; raises `UnusableModel`."""
    facts = inspect_directory(path)
    model, _created = BaseModel.objects.update_or_create(
        name=name, defaults=row(facts, source, location, path, revision)
    )
    return model


def row(facts: ModelFacts, source: str, location: str, path: Path, revision: str) -> dict:
    card = facts.card
    return {
        "display_name": card.get("display_name") or path.name,
        "description": card.get("description", ""),
        "source": source,
        "location": location,
        "revision": revision or facts.sha256[:12],
        "sha256": facts.sha256,
        "parameters": facts.parameters,
        "size_bytes": facts.size_bytes,
        "context": card.get("context") or facts.context,
        "licence": card.get("licence", ""),
        "directory": str(path),
        "is_on_this_machine": True,
        "problem": "",
        "recommended_config": card.get("recommended_config", {}),
    }
