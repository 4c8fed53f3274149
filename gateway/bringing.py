"""From an export of an OpenAI account: files become datasets, the settings of fine-tuning jobs become plans.

The directory holds `*.jsonl` (named as they were, or by their ids), and beside them, as the API lists them,
`files.json` and `fine_tuning_jobs.json` or `jobs.json`; each may be missing.
"""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction

from apex.common import files as stored_files
from base_models.models import BaseModel
from datasets_app.importing import import_rows
from gateway import aliases, filing, tuning, tuning_settings
from gateway.models import ApiFile, BroughtJob, FilePurpose
from serving.protocol import ApiError
from training.estimating import Asked
from training.kinds import purpose_for
from training.models import Plan
from training.services import StartRefused

FILES, JOBS = ("files.json",), ("fine_tuning_jobs.json", "jobs.json")
NAME_LENGTH = 80
# Purposes of which nothing is learned.
LEFT = {
    "batch",
    "batch_output",
    "fine-tune-results",
    "assistants",
    "assistants_output",
    "vision",
    "user_data",
    "evals",
}


class Bringing:
    """One directory for one person. With `is_dry` nothing is written; `say` is told a line for each thing."""

    def __init__(self, owner, directory: Path, *, is_dry: bool = False, say: Callable[[str], Any] = print):
        self.owner, self.directory, self.is_dry, self.say = owner, directory, is_dry, say
        self.counts: Counter[str] = Counter()
        # By what a job may name: its id there, its name. None: it would be brought.
        self.files: dict[str, ApiFile | None] = {}

    def bring(self) -> None:
        listed = self.listed(FILES)
        paths = sorted(self.directory.rglob("*.jsonl"))
        if not paths:
            self.tell("no files", "there is no *.jsonl in the directory")
        for path in paths:
            self.bring_file(path, entry_of(path, listed))
        for job in self.listed(JOBS):
            self.bring_job(job)

    def summary(self) -> str:
        words = (
            ", ".join(f"{what}: {count}" for what, count in sorted(self.counts.items())) or "nothing found"
        )
        return f"{'Nothing was written. ' if self.is_dry else ''}In all: {words}."

    def tell(self, what: str, text: str) -> None:
        self.counts[what] += 1
        self.say(f"{what}: {text}")

    def listed(self, names: tuple[str, ...]) -> list[dict]:
        """What a list of the API holds, as an array or as an object with `data`; nothing where there is none."""
        path = next((found for name in names if (found := self.directory / name).is_file()), None)
        if path is None:
            return []
        try:
            found = json.loads(path.read_text(encoding="utf-8-sig"))
        except (ValueError, RecursionError) as problem:
            self.tell("not read", f"{path.name} is not JSON ({problem})")
            return []
        rows = found.get("data") if isinstance(found, dict) else found
        if not isinstance(rows, list):
            self.tell("not read", f"{path.name} is no list, and no object with a list “data”")
            return []
        return [row for row in rows if isinstance(row, dict)]

    # --- files -------------------------------------------------------------------------------------------------

    def bring_file(self, path: Path, entry: dict) -> None:
        name = text_of(entry, "filename") or path.name
        purpose = text_of(entry, "purpose") or ("batch" if looks_like_a_batch(path) else "fine-tune")
        if purpose in LEFT:
            return self.tell("left", f"{path.name} is a file of purpose {purpose}; only examples are brought")
        names = {text_of(entry, "id"), name, path.name, path.stem} - {""}
        sha256 = stored_files.stored_as(path).sha256
        known = ApiFile.objects.for_user(self.owner).filter(
            sha256=sha256, purpose=FilePurpose.FINE_TUNE, problem=""
        )
        file = known.select_related("version__dataset", "owner").exclude(version=None).first()
        if file is not None:
            self.tell("here already", f"{path.name} is the dataset “{file.version.dataset.name}”")
        elif self.is_dry:
            refusal = refusal_of(path, name)
            if refusal:
                return self.tell("not brought", f"{path.name}: {refusal}")
            self.tell("would bring", f"{path.name} as a dataset")
        else:
            file = filing.keep_path(
                owner=self.owner, path=path, file_name=name, purpose=FilePurpose.FINE_TUNE
            )
            if file.problem:
                filing.delete_file(file=file)
                return self.tell("not brought", f"{path.name}: {file.problem}")
            version = file.version
            self.tell(
                "brought",
                f"{path.name} as the dataset “{version.dataset.name}”, {version.row_count} examples",
            )
        for each in names:
            self.files[each] = file
        return None

    # --- jobs --------------------------------------------------------------------------------------------------

    def bring_job(self, job: dict) -> None:
        source_id = text_of(job, "id")[:120]
        if not source_id:
            return self.tell("not brought", "a job without an id")
        if BroughtJob.objects.for_user(self.owner).filter(source_id=source_id).exists():
            return self.tell("here already", f"the settings of {source_id}")
        try:
            method = tuning_settings.method_in(
                {
                    name: job.get(name)
                    for name in ("method", "hyperparameters")
                    if job.get("method") is None or name == "method"
                }
            )
        except ApiError as problem:
            return self.tell("not brought", f"the settings of {source_id}: {problem.message}")
        missing: list[str] = []
        base_model = self.base_model_of(job, missing)
        training, validation = (
            self.file_of(job, "training_file", missing),
            self.file_of(job, "validation_file", missing),
        )
        if self.is_dry:
            return self.tell("would bring", f"the settings of {source_id} as a plan{words_of(missing)}")
        plan = self.make_plan(source_id, job, method, base_model, training, validation, missing)
        return self.tell(
            "brought", f"the settings of {source_id} as the plan “{plan.name}”{words_of(missing)}"
        )

    def base_model_of(self, job: dict, missing: list[str]) -> BaseModel | None:
        name = text_of(job, "model")
        if name.startswith("ft:"):
            name = name.split(":")[1]
            missing.append("it went on from a model that is not here, and begins with the base model")
        found = BaseModel.objects.for_user(self.owner).filter(name=aliases.resolved(self.owner, name)).first()
        if found is None:
            missing.append(f"no base model is called {name!r} here: choose one, or make an alias first")
        return found

    def file_of(self, job: dict, field: str, missing: list[str]) -> ApiFile | None:
        name = text_of(job, field)
        if not name:
            return None
        if name not in self.files:
            missing.append(f"its {field.replace('_', ' ')} {name} is not here: choose the examples")
        return self.files.get(name)

    def make_plan(self, source_id, job, method, base_model, training, validation, missing) -> Plan:
        version, engine_method = None, tuning_settings.ENGINE_METHODS[method["type"]]
        if training is not None:
            version = training.version
            if validation is not None:
                try:
                    version = tuning.put_together(training, validation)
                except ApiError as problem:
                    missing.append(f"without its validation file: {problem.message}")
        config = self.config_of(version, base_model, engine_method, method, job, missing)
        with transaction.atomic():
            plan = Plan.objects.create(
                owner=self.owner,
                name=name_of(job, source_id),
                purpose=purpose_for(version.kind) if version else "",
                method=engine_method,
                dataset_version=version,
                base_model=base_model,
                config=config,
            )
            BroughtJob.objects.create(owner=self.owner, source_id=source_id, plan=plan)
        return plan

    def config_of(self, version, base_model, engine_method, method, job, missing) -> dict:
        """What the job said in numbers; what was "auto" is the plan's own preset."""
        seed = job.get("seed") if isinstance(job.get("seed"), int) and 0 <= job["seed"] < 2**31 else None
        epochs = tuning_settings.hyperparameters_of(method)["n_epochs"]
        plain = (
            {}
            if epochs == tuning_settings.AUTO
            else {"epochs": epochs, "min_steps": 1, "early_stopping_checks": None}
        )
        plain |= {} if seed is None else {"seed": seed}
        if version is None or base_model is None:
            return plain
        try:
            asked = Asked(version, base_model, method=engine_method)
            auto = {"type": method["type"], method["type"]: {"hyperparameters": dict.fromkeys(
                tuning_settings.hyperparameters_of(method), tuning_settings.AUTO)}}  # fmt: skip
            usual = tuning_settings.config_for(asked, auto, None)
            wanted = tuning_settings.config_for(asked, method, seed)
        except (StartRefused, ApiError) as problem:
            missing.append(str(problem))
            return plain
        return {name: value for name, value in wanted.items() if name not in usual or usual[name] != value}


def entry_of(path: Path, listed: list[dict]) -> dict:
    """What `files.json` says of a file: by its id in the name, else by its name."""
    by_id = (entry for entry in listed if text_of(entry, "id") and path.name.startswith(text_of(entry, "id")))
    by_name = (entry for entry in listed if text_of(entry, "filename") == path.name)
    return next(by_id, None) or next(by_name, None) or {}


def text_of(row: dict, name: str) -> str:
    value = row.get(name)
    return value.replace("\x00", "") if isinstance(value, str) else ""


def looks_like_a_batch(path: Path) -> bool:
    with open(path, "rb") as file:
        line = file.readline(1024 * 1024)
    try:
        first = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(first, dict) and "custom_id" in first


def refusal_of(path: Path, name: str) -> str:
    """Why nothing can be learned from a file; nothing if something can."""
    with tempfile.TemporaryDirectory(dir=settings.FILE_UPLOAD_TEMP_DIR) as folder:
        found = import_rows(path, Path(folder) / "rows.jsonl", name).reading.refusal
    return f"{found.problem} {found.mend}" if found else ""


def name_of(job: dict, source_id: str) -> str:
    """The suffix that it was given, else its own id."""
    model = text_of(job, "fine_tuned_model").split(":")
    return (text_of(job, "suffix") or (model[3] if len(model) > 3 else "") or source_id)[:NAME_LENGTH]


def words_of(missing: list[str]) -> str:
    return f" ({'; '.join(missing)})" if missing else ""
