"""What of a checkpoint is an adapter: taken out to be tried, or stored as an adapter of its own.

A checkpoint holds the adapter as PEFT writes it beside the optimiser and counters (docs/architecture.md). Only its
two adapter files ever leave it.
"""

import json
import shutil
import tempfile
import zipfile
from pathlib import Path

from django.conf import settings
from django.utils.translation import gettext as _

from apex.common import files
from training.checkpoints import note_discarded
from training.engine.artifacts import TOKENIZER_FILES, card_top, cell, loss_words, write_json
from training.models import Checkpoint, TrainingJob

WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"


class CheckpointUnusable(Exception):
    """The adapter cannot be had from this checkpoint; the message says why and what to do."""


def adapter_directory(checkpoint: Checkpoint) -> Path:
    """The checkpoint's adapter as a directory on this machine, taken out once; it goes with the stored checkpoint.

    Raises `CheckpointUnusable` if the checkpoint has been pruned or cannot be read.
    """
    target = files.derived_path(checkpoint.directory_sha256, "adapter")
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(dir=target.parent, prefix=".adapter-"))
    try:
        take_out(checkpoint, draft)
        draft.rename(target)
    except OSError:
        if not target.is_dir():  # another process was first
            raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return target


def take_out(checkpoint: Checkpoint, folder: Path) -> None:
    """Unpacks weights and config of the adapter into `folder`; the optimiser, several times their size, stays."""
    try:
        with zipfile.ZipFile(files.local_path(checkpoint.directory_sha256)) as archive:
            for name in (WEIGHTS, CONFIG):
                with archive.open(name) as source, open(folder / name, "wb") as copy:
                    shutil.copyfileobj(source, copy, files.CHUNK)
    except FileNotFoundError as problem:
        raise CheckpointUnusable(gone_words(checkpoint.step)) from problem
    except (zipfile.BadZipFile, files.Damaged, KeyError) as problem:
        raise CheckpointUnusable(
            _("The checkpoint of step %(step)s cannot be read; try one of another step.")
            % {"step": checkpoint.step}
        ) from problem


def gone_words(step: int) -> str:
    return _(
        "There is no checkpoint of step %(step)s any more: later ones have taken its place. Reload the page and choose "
        "another."
    ) % {"step": step}


def store_kept(checkpoint: Checkpoint) -> files.Stored:
    """Stores the checkpoint's adapter as a directory like that of a finished job; the same checkpoint, the same hash.

    Beside the adapter: tokenizer and chat template of the base model where it is on this machine, README.md and
    apex-run.json. Raises `CheckpointUnusable`.
    """
    source = adapter_directory(checkpoint)
    job = checkpoint.job
    with tempfile.TemporaryDirectory(dir=settings.FILE_UPLOAD_TEMP_DIR) as temporary:
        folder = Path(temporary) / "kept"
        folder.mkdir()
        shutil.copyfile(source / WEIGHTS, folder / WEIGHTS)
        config = json.loads((source / CONFIG).read_text(encoding="utf-8"))
        # A path of this machine would mean nothing elsewhere.
        config |= {
            "base_model_name_or_path": job.base_model.name,
            "revision": job.base_model.revision or None,
        }
        write_json(folder / CONFIG, config)
        for name in TOKENIZER_FILES if job.base_model.is_on_this_machine else ():
            if (job.base_model.path / name).is_file():
                shutil.copyfile(job.base_model.path / name, folder / name)
        run = history(checkpoint)
        write_json(folder / "apex-run.json", run)
        (folder / "README.md").write_text(card(job, run), encoding="utf-8")
        packed = files.pack_directory(folder, Path(temporary) / "kept.zip")
        note_discarded([files.stored_as(packed).sha256])  # until its row is there
        return files.put_file(packed)


def history(checkpoint: Checkpoint) -> dict:
    """Where a kept checkpoint comes from, as far as it is known while its job may still run."""
    job, version = checkpoint.job, checkpoint.job.dataset_version
    sha256 = version.rows_sha256 or (version.reference.sha256 if version.reference else "")
    return {
        "step": checkpoint.step,
        "eval_loss_base": job.eval_loss_base,
        "eval_loss": checkpoint.eval_loss,
        "method": job.method,
        "config": job.config,
        "lineage": {
            "job": str(job.pk),
            "name": job.name,
            "dataset": version.dataset.name,
            "dataset_version": str(version.pk),
            "dataset_sha256": sha256,
            "base_model": job.base_model.name,
            "base_revision": job.base_model.revision,
            "start_adapter": str(job.start_adapter_id) if job.start_adapter_id else None,
        },
        "library_versions": library_versions(job),
    }


def library_versions(job: TrainingJob) -> dict:
    """What the engine said that it runs on; it says so at its end, so a job at work may have none yet."""
    said = job.facts.get("finished", {}), job.facts.get("started", {})
    return next((facts["library_versions"] for facts in said if facts.get("library_versions")), {})


def card(job: TrainingJob, run: dict) -> str:
    """The README: what it is, how far off it was, where it comes from."""
    before, after = run["eval_loss_base"], run["eval_loss"]
    rows = {"method": run["method"], **run["lineage"], **{f"`{k}`": v for k, v in run["config"].items()}}
    lines = [
        *card_top(job.method),
        f"# An adapter for {job.base_model.name}, kept from step {run['step']}",
        "",
        "Trained with Apex; a checkpoint on the way, not the end of its training.",
        "",
        f"| | {loss_words(job.method)} |",
        "|---|---|",
        f"| held-out examples, at the beginning | {number(before)} |",
        f"| held-out examples, with this adapter | {number(after)} |",
        "",
        "## Where it comes from",
        "",
        "| | |",
        "|---|---|",
        *(f"| {cell(name)} | {cell(value)} |" for name, value in rows.items()),
        "",
    ]
    return "\n".join(lines)


def number(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.4f}"
