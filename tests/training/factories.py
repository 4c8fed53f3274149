"""Things that tests of training own."""

import json

from apex.common import files
from datasets_app.models import Dataset, DatasetVersion, MadeBy
from training.metrics.packing import gather
from training.metrics.store import MetricWriter
from training.models import (
    Adapter,
    Chain,
    ChainStage,
    Checkpoint,
    Device,
    Node,
    Status,
    TrainingJob,
    new_model_id,
)

LEARN = {"kind": "eval_loss", "percent": 5}
PREFER = {"kind": "rewards_accuracy", "percent": 60}


def make_version(owner, name="Letters", rows=10, held_out=2) -> DatasetVersion:
    """A version of `rows` question-and-answer rows, the first `held_out` of them kept aside."""
    lines = [
        json.dumps(
            {
                "messages": [{"role": "user", "content": f"q{i}"}, {"role": "assistant", "content": f"a{i}"}],
                "conversation": str(i),
                "line": i + 1,
                "split": "held_out" if i < held_out else "train",
            }
        )
        for i in range(rows)
    ]
    stored = files.put_bytes("\n".join(lines).encode())
    return DatasetVersion.objects.create(
        owner=owner,
        dataset=Dataset.objects.create(owner=owner, name=name),
        number=1,
        made_by=MadeBy.UPLOAD,
        format="messages",
        file_name="letters.jsonl",
        source_sha256=stored.sha256,
        rows_sha256=stored.sha256,
        row_count=rows,
        train_count=rows - held_out,
        held_out_count=held_out,
        conversation_count=rows,
    )


def make_comparisons(owner, name="Tastes", rows=10, held_out=2) -> DatasetVersion:
    """A version of `rows` comparisons of two answers, the first `held_out` of them kept aside."""
    lines = [
        json.dumps(
            {
                "prompt": [{"role": "user", "content": f"q{i}"}],
                "chosen": [{"role": "assistant", "content": f"good {i}"}],
                "rejected": [{"role": "assistant", "content": f"bad {i}"}],
                "conversation": str(i),
                "line": i + 1,
                "split": "held_out" if i < held_out else "train",
            }
        )
        for i in range(rows)
    ]
    stored = files.put_bytes("\n".join(lines).encode())
    return DatasetVersion.objects.create(
        owner=owner, dataset=Dataset.objects.create(owner=owner, name=name), number=1, made_by=MadeBy.UPLOAD,
        kind="preference", format="preference", file_name="tastes.jsonl", source_sha256=stored.sha256,
        rows_sha256=stored.sha256, row_count=rows, train_count=rows - held_out, held_out_count=held_out,
        conversation_count=rows,
    )  # fmt: skip


def make_adapter(job: TrainingJob, tmp_path) -> Adapter:
    """An adapter as a finished job leaves it, around an empty directory."""
    (tmp_path / "adapter_config.json").write_text("{}")
    TrainingJob.objects.filter(pk=job.pk).update(status=Status.SUCCEEDED, eval_loss_base=2.0, eval_loss=1.0)
    job.refresh_from_db()
    return Adapter.objects.create(
        owner=job.owner,
        name=job.name,
        model_id=new_model_id(job.base_model, job.owner, job.name),
        job=job,
        dataset_version=job.dataset_version,
        base_model=job.base_model,
        seed=42,
        directory_sha256=files.put_directory(tmp_path).sha256,
        eval_loss_base=2.0,
        eval_loss=1.0,
    )


def make_metrics(job: TrainingJob, rows: list[dict]) -> None:
    """Metrics as a worker writes them: `[{"step": 1, "loss": 2.0}, …]`."""
    MetricWriter(job.pk).write(gather(rows))


def make_checkpoint(job: TrainingJob, folder, step: int, **values) -> Checkpoint:
    """A stored checkpoint as an engine writes it: the adapter's two files beside the optimiser's.

    `folder` may hold a real adapter already; else it gets files that only look like one.
    """
    folder.mkdir(exist_ok=True)
    for name, content in {
        "adapter_model.safetensors": f"weights of step {step}",
        "adapter_config.json": json.dumps({"base_model_name_or_path": "/a/place/of/this/machine"}),
        "optimizer.safetensors": "moments",
        "manifest.json": "{}",
    }.items():
        if not (folder / name).exists():
            (folder / name).write_text(content)
    stored = files.put_directory(folder)
    return Checkpoint.objects.create(
        job=job, token=1, step=step, directory_sha256=stored.sha256, size_bytes=stored.size, reason="interval",
        **values,
    )  # fmt: skip


def make_device(queue="cpu", *, kind="gpu", node="", index=0, memory=0, cpus=4, **changes) -> Device:
    """A device of a machine that is online, free and enabled."""
    machine, _made = Node.objects.get_or_create(name=node, defaults={"hostname": "here", "cpus": cpus})
    return Device.objects.create(
        node=machine, kind=kind, index=index, queue=queue, memory_bytes=memory, **changes
    )


def stages(chain: Chain) -> list[ChainStage]:
    return list(chain.stages.select_related("job"))


def finish(job: TrainingJob, tmp_path, **values) -> Adapter:
    """The job ends well, with an adapter, and with the values that a gate asks for."""
    folder = tmp_path / str(job.pk)
    folder.mkdir()
    adapter = make_adapter(job, folder)
    TrainingJob.objects.filter(pk=job.pk).update(**values)
    return adapter
