"""A script written for OpenAI's fine-tuning API, by the official client, on a real stack: only `base_url` is new."""

import json
import time

import openai
import pytest

from base_models.demo.dataset import dataset_rows
from tests.flows.client import Api

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.timeout(900)]
ENDED = ("succeeded", "failed", "cancelled")
HELLO = [{"role": "user", "content": "What is the capital of Turkey?"}]


def client_of(stack, username: str) -> openai.OpenAI:
    return openai.OpenAI(
        base_url=f"{stack.url}/v1", api_key=Api(stack, username).token, max_retries=1, timeout=120
    )


def waited(read, is_over, seconds: float = 240):
    """What `read()` gives as soon as `is_over` holds for it."""
    deadline = time.monotonic() + seconds
    while not is_over(found := read()):
        assert time.monotonic() < deadline, f"still {found.status} after {seconds} s"
        time.sleep(0.5)
    return found


@pytest.fixture(scope="module")
def rows() -> list[dict]:
    return [{"messages": row["messages"]} for row in dataset_rows() if row["split"] == "train"][:40]


@pytest.fixture(scope="module")
def training_file(rows) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def test_a_script_trains_talks_to_its_model_and_cleans_up(stack, training_file):
    api = Api(stack, "script")
    client, stranger = client_of(stack, "script"), client_of(stack, "script-stranger")
    status, alias = api.call(
        "POST", "/api/v1/model-aliases/", {"name": "gpt-4o-mini", "base_model": "apex-demo"}
    )
    assert status == 201, alias
    file = client.files.create(file=("train.jsonl", training_file), purpose="fine-tune")
    client.files.wait_for_processing(file.id)
    assert client.files.content(file.id).read() == training_file

    asked = {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 3, "batch_size": 4}}}
    job = client.fine_tuning.jobs.create(
        model="gpt-4o-mini-2024-07-18",
        training_file=file.id,
        suffix="smoke",
        seed=7,
        method=asked,
        metadata={"k": "v"},
    )
    assert job.status in ("validating_files", "queued", "running") and job.fine_tuned_model is None
    assert (job.seed, job.metadata, job.hyperparameters.n_epochs) == (7, {"k": "v"}, 3)
    for call in (
        lambda: stranger.fine_tuning.jobs.retrieve(job.id),
        lambda: stranger.fine_tuning.jobs.list_events(job.id),
        lambda: stranger.files.content(file.id),
        lambda: stranger.files.delete(file.id),
        lambda: client.fine_tuning.jobs.retrieve("ftjob-nope"),
    ):
        with pytest.raises(openai.NotFoundError):
            call()
    with pytest.raises(openai.ConflictError):
        client.with_options(max_retries=0).files.delete(file.id)  # a training needs it

    done = waited(lambda: client.fine_tuning.jobs.retrieve(job.id), lambda job: job.status in ENDED)
    assert done.status == "succeeded", done.error
    assert done.finished_at and done.trained_tokens and done.error is None
    assert done.hyperparameters.n_epochs == 3 and done.hyperparameters.batch_size == 4
    assert done.fine_tuned_model in [model.id for model in client.models.list()]
    answer = client.chat.completions.create(
        model=done.fine_tuned_model, messages=HELLO, max_tokens=30, temperature=0
    )
    base = client.chat.completions.create(model="gpt-4o-mini", messages=HELLO, max_tokens=30, temperature=0)
    assert answer.choices[0].message.content != base.choices[0].message.content
    with pytest.raises(openai.NotFoundError) as hidden:
        stranger.chat.completions.create(model=done.fine_tuned_model, messages=HELLO)
    assert hidden.value.code == "model_not_found"

    events = list(client.fine_tuning.jobs.list_events(job.id, limit=7))  # all pages of it
    assert len({event.id for event in events}) == len(events) > 20
    assert [event.created_at for event in events] == sorted((e.created_at for e in events), reverse=True)
    assert {event.type for event in events} == {"message", "metrics"}
    assert events[-1].message == f"Created fine-tuning job: {job.id}"
    results = client.files.content(done.result_files[0]).read().decode().splitlines()
    assert results[0].startswith("step,train_loss,") and len(results) > 20
    checkpoints = list(client.fine_tuning.jobs.checkpoints.list(job.id))
    assert checkpoints and all(one.metrics.train_loss for one in checkpoints)
    name = checkpoints[0].fine_tuned_model_checkpoint
    assert client.chat.completions.create(model=name, messages=HELLO, max_tokens=4).model == name
    with pytest.raises(openai.BadRequestError):
        client.fine_tuning.jobs.cancel(job.id)
    assert client.files.delete(file.id).deleted
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(file.id)
    assert client.fine_tuning.jobs.retrieve(job.id).training_file == file.id


def test_jobs_are_paused_resumed_cancelled_and_paged(stack, training_file):
    client = client_of(stack, "script-pager")
    file = client.files.create(file=("train.jsonl", training_file), purpose="fine-tune")
    jobs = [
        client.fine_tuning.jobs.create(model="apex-demo", training_file=file.id, metadata={"run": str(i)})
        for i in range(3)
    ]
    first = client.fine_tuning.jobs.list(limit=1)
    assert first.has_more and first.data[0].id == jobs[2].id
    assert [job.id for job in client.fine_tuning.jobs.list(limit=1)] == [job.id for job in reversed(jobs)]
    assert [job.id for job in client.fine_tuning.jobs.list(metadata={"run": "1"})] == [jobs[1].id]
    assert client.fine_tuning.jobs.pause(jobs[2].id).status in ("queued", "running")
    assert client.fine_tuning.jobs.resume(jobs[2].id).status in ("queued", "running")
    for job in jobs:
        assert client.fine_tuning.jobs.cancel(job.id).status == "cancelled"
    with pytest.raises(openai.BadRequestError):
        client.fine_tuning.jobs.cancel(jobs[0].id)
    with pytest.raises(openai.BadRequestError) as refused:
        client.fine_tuning.jobs.create(model="apex-demo", training_file="file-nope")
    assert refused.value.param == "training_file"
