"""`/v1/fine_tuning/jobs`: what becomes of a request, and how a job is told."""

import csv
import time

import pytest
from django.utils import timezone

from accounts.models import ApiToken
from datasets_app import execution, making
from datasets_app.models import Dataset, DatasetImport
from datasets_app.services import delete_dataset
from gateway import sweeping, tuning, tuning_events
from gateway.aliases import create_alias
from gateway.models import ApiFile, FineTune
from tests.gateway.openai_client import PAIRS, ROWS, Program, lines
from tests.training.conftest import base_model, device, sent  # noqa: F401 - fixtures
from tests.training.factories import make_adapter, make_checkpoint, make_metrics
from training.models import JobEvent, Status, TrainingJob, model_id_of

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def alices(alice, base_model, device, sent):  # noqa: F811
    return Program(alice)


@pytest.fixture
def mallorys(mallory):
    return Program(mallory)


@pytest.fixture
def training_file(alices):
    return alices.send(lines(ROWS))[1]["id"]


def create(program, training_file, **more):
    status, job = program.post("fine_tuning/jobs", {"model": "tiny", "training_file": training_file, **more})
    assert status == 200, job
    return job


def training_of(job: dict) -> TrainingJob:
    return FineTune.objects.get(pk=job["id"].removeprefix("ftjob-")).job


def supervised(**hyperparameters) -> dict:
    return {"type": "supervised", "supervised": {"hyperparameters": hyperparameters}}


@pytest.fixture
def succeeded(alices, training_file, tmp_path):
    """A job whose training has ended well, with numbers, a checkpoint and an adapter."""
    job = create(alices, training_file, suffix="smoke", seed=7, metadata={"k": "v"})
    training = training_of(job)
    begun = time.time()
    make_metrics(
        training,
        [{"step": 0, "eval_loss": 3.0, "time": begun}]
        + [{"step": i, "loss": 3 - i / 10, "learning_rate": 1e-4, "time": begun + i} for i in range(1, 6)]
        + [{"step": 6, "loss": 2.25, "eval_loss": 2.5, "time": begun + 6}],
    )
    make_checkpoint(training, tmp_path / "step-3", step=3, eval_loss=2.7)
    folder = tmp_path / "adapter"
    folder.mkdir()
    TrainingJob.objects.filter(pk=training.pk).update(
        tokens=1234, total_steps=6, ended_at=timezone.now(),
        facts={"started": {"epochs": 3, "batch_size": 4, "gradient_accumulation_steps": 2}},
    )  # fmt: skip
    training.refresh_from_db()
    adapter = make_adapter(training, folder)
    JobEvent.objects.create(job=training, kind="job.succeeded", message="It is done.")
    return job, adapter


def test_a_job_is_made_of_a_file_and_told_in_openais_words(alices, alice, training_file):
    job = create(alices, training_file, suffix="My tutor", seed=7, metadata={"k": "v"})
    assert job["id"].startswith("ftjob-") and job["object"] == "fine_tuning.job"
    assert (job["status"], job["model"], job["seed"], job["metadata"]) == ("queued", "tiny", 7, {"k": "v"})
    assert job["training_file"] == training_file and job["validation_file"] is None
    assert job["organization_id"] == str(alice.pk)
    nothing = ("error", "finished_at", "fine_tuned_model", "trained_tokens", "estimated_finish")
    assert [job[name] for name in nothing] == [None] * 5
    assert job["result_files"] == [] and job["integrations"] == []
    auto = {"n_epochs": "auto", "batch_size": "auto", "learning_rate_multiplier": "auto"}
    assert job["hyperparameters"] == auto and job["method"] == supervised(**auto)
    training = training_of(job)
    assert (training.owner, training.name, training.method) == (alice, "My tutor", "sft")
    assert training.config["seed"] == 7 and training.dataset_version.dataset.name == "train"
    assert training.estimate["steps"] > 0
    assert alices.get(f"fine_tuning/jobs/{job['id']}") == (200, job)


def test_numbers_mean_what_they_say(alices, training_file):
    plain = training_of(create(alices, training_file))
    job = create(
        alices, training_file, method=supervised(n_epochs=2, batch_size=6, learning_rate_multiplier=0.5)
    )
    config = training_of(job).config
    assert (config["epochs"], config["min_steps"], config["early_stopping_checks"]) == (2, 1, None)
    assert config["batch_size"] * config["gradient_accumulation_steps"] == 6
    assert config["batch_size"] <= plain.config["batch_size"]
    assert config["learning_rate"] == pytest.approx(plain.config["learning_rate"] / 2)
    assert plain.config["min_steps"] > 1
    assert job["hyperparameters"] == {"n_epochs": 2, "batch_size": 6, "learning_rate_multiplier": 0.5}


def test_a_batch_size_alone_keeps_the_usual_number_of_steps(alices, training_file):
    config = training_of(create(alices, training_file, method=supervised(batch_size=7))).config
    assert config["batch_size"] * config["gradient_accumulation_steps"] == 7
    rows = Dataset.objects.get().latest.train_count
    assert config["epochs"] * -(-rows // 7) >= 60


def test_the_older_hyperparameters_mean_the_same(alices, training_file):
    job = create(alices, training_file, hyperparameters={"n_epochs": 1})
    assert job["hyperparameters"]["n_epochs"] == 1 and training_of(job).config["epochs"] == 1


def test_comparisons_are_learned_by_dpo(alices):
    pairs = alices.send(lines(PAIRS))[1]["id"]
    method = {"type": "dpo", "dpo": {"hyperparameters": {"beta": 0.3, "n_epochs": "auto"}}}
    job = create(alices, pairs, method=method)
    training = training_of(job)
    assert (training.method, training.config["beta"]) == ("dpo", 0.3)
    assert job["method"]["dpo"]["hyperparameters"]["beta"] == 0.3 and "beta" not in job["hyperparameters"]
    status, answer = alices.post("fine_tuning/jobs", {"model": "tiny", "training_file": pairs})
    assert (status, answer["error"]["param"]) == (400, "training_file")


def test_a_validation_file_is_what_is_kept_aside(alices, alice, training_file):
    validation = alices.send(lines(ROWS[:3]), name="check.jsonl")[1]["id"]
    job = create(alices, training_file, validation_file=validation)
    assert job["validation_file"] == validation
    version = training_of(job).dataset_version
    assert (version.train_count, version.held_out_count, version.number) == (12, 3, 2)
    again = create(alices, training_file, validation_file=validation)
    assert training_of(again).dataset_version == version
    pairs = alices.send(lines(PAIRS))[1]["id"]
    body = {"model": "tiny", "training_file": training_file, "validation_file": pairs}
    assert alices.post("fine_tuning/jobs", body)[1]["error"]["param"] == "validation_file"


def test_deleting_the_files_erases_what_was_put_together_of_them(alices, alice, training_file):
    validation = alices.send(lines(ROWS[:3]), name="check.jsonl")[1]["id"]
    job = create(alices, training_file, validation_file=validation)
    status, answer = alices.delete(f"files/{training_file}")
    assert (status, answer["error"]["code"]) == (409, "file_in_use")
    alices.post(f"fine_tuning/jobs/{job['id']}/cancel")
    assert alices.delete(f"files/{training_file}")[0] == 200
    assert [dataset.name for dataset in Dataset.objects.for_user(alice)] == ["check"]
    assert alices.get(f"fine_tuning/jobs/{job['id']}")[1]["training_file"] == training_file


def test_an_alias_and_ones_own_adapter_can_be_trained(alices, alice, training_file, succeeded):
    _job, adapter = succeeded
    create_alias(owner=alice, name="gpt-4o-mini", base_model=adapter.base_model)
    job = create(alices, training_file, model="gpt-4o-mini-2024-07-18")
    assert job["model"] == "gpt-4o-mini-2024-07-18" and training_of(job).base_model.name == "tiny"
    going_on = create(alices, training_file, model=adapter.model_id)
    assert training_of(going_on).start_adapter == adapter
    from_step = create(alices, training_file, model=f"{adapter.model_id}:ckpt-step-3")
    assert training_of(from_step).start_adapter.step == 3


BAD_BODIES = [
    ({"training_file": "file-nope"}, 400, "training_file"),
    ({"training_file": 7}, 400, "training_file"),
    ({"training_file": None}, 400, "training_file"),
    ({"validation_file": "file-nope"}, 400, "validation_file"),
    ({"model": "nope"}, 404, "model"),
    ({"model": ""}, 400, "model"),
    ({"model": "ft:tiny:alice:x:00000000"}, 404, "model"),
    ({"model": "ti\x00ny"}, 400, "model"),
    ({"suffix": "x" * 65}, 400, "suffix"),
    ({"seed": -1}, 400, "seed"),
    ({"seed": 2**31}, 400, "seed"),
    ({"seed": True}, 400, "seed"),
    ({"metadata": {"a": 1}}, 400, "metadata"),
    ({"metadata": {str(i): "x" for i in range(17)}}, 400, "metadata"),
    ({"metadata": {"x" * 65: "y"}}, 400, "metadata"),
    ({"metadata": {"x": "y" * 513}}, 400, "metadata"),
    ({"n_epochs": 3}, 400, "n_epochs"),
    ({"method": "dpo"}, 400, "method"),
    ({"method": {"type": "reinforcement"}}, 400, "method.type"),
    ({"method": {"type": "banana"}}, 400, "method.type"),
    ({"method": {"type": []}}, 400, "method.type"),
    ({"method": supervised(beta=1)}, 400, "method.supervised.hyperparameters.beta"),
    ({"method": supervised(n_epochs=0)}, 400, "method.supervised.hyperparameters.n_epochs"),
    ({"method": supervised(n_epochs=1.5)}, 400, "method.supervised.hyperparameters.n_epochs"),
    ({"method": supervised(batch_size=257)}, 400, "method.supervised.hyperparameters.batch_size"),
    (
        {"method": supervised(learning_rate_multiplier=0)},
        400,
        "method.supervised.hyperparameters.learning_rate_multiplier",
    ),
    (
        {"method": supervised(learning_rate_multiplier=1e9)},
        400,
        "method.supervised.hyperparameters.learning_rate_multiplier",
    ),
    ({"method": supervised(), "hyperparameters": {"n_epochs": 3}}, 400, "hyperparameters"),
    ({"hyperparameters": {"n_epochs": "many"}}, 400, "hyperparameters.n_epochs"),
    ({"integrations": [{"type": "wandb", "wandb": {"project": "p"}}]}, 400, "integrations"),
    ({"integrations": [{"type": "other"}]}, 400, "integrations[0]"),
    ({"integrations": "wandb"}, 400, "integrations"),
]


@pytest.mark.parametrize(("change", "status", "param"), BAD_BODIES)
def test_a_bad_wish_is_refused_by_name(alices, training_file, change, status, param):
    body = {"model": "tiny", "training_file": training_file} | change
    found, answer = alices.post("fine_tuning/jobs", body)
    assert (found, answer["error"]["param"]) == (status, param), answer
    assert not FineTune.objects.exists()


@pytest.mark.parametrize("body", [b"{broken", b"[]", b'{"model": "\\ud800"}', b"[" * 100_000])
def test_a_body_that_is_no_object_is_refused(alices, body):
    answer = alices.client.post("/v1/fine_tuning/jobs", body, content_type="application/json")
    assert answer.status_code == 400 and answer.json()["error"]["type"] == "invalid_request_error"


def test_a_file_of_another_purpose_or_without_use_is_refused(alices):
    batch = alices.send(lines(ROWS), purpose="batch")[1]["id"]
    bad = alices.send(b"nothing at all", name="bad.jsonl")[1]
    for file, code in ((batch, "invalid_file_purpose"), (bad["id"], "invalid_training_file")):
        status, answer = alices.post("fine_tuning/jobs", {"model": "tiny", "training_file": file})
        assert (status, answer["error"]["param"], answer["error"]["code"]) == (400, "training_file", code)
    assert answer["error"]["message"] == bad["status_details"]


def test_runs_go_to_weights_and_biases_only_where_the_operator_says_so(
    alices, training_file, settings, monkeypatch
):
    settings.TRACKER = "wandb"
    monkeypatch.setenv("WANDB_PROJECT", "house")
    wish = {"type": "wandb", "wandb": {"project": "house", "tags": ["a"]}}
    job = create(alices, training_file, integrations=[wish])
    assert job["integrations"][0]["wandb"] == {
        "project": "house",
        "name": None,
        "entity": None,
        "tags": ["a"],
    }
    wish["wandb"]["project"] = "mine"
    body = {"model": "tiny", "training_file": training_file, "integrations": [wish]}
    assert alices.post("fine_tuning/jobs", body)[1]["error"]["param"] == "integrations[0].wandb.project"


def test_jobs_are_listed_newest_first_in_pages_and_by_metadata(alices, training_file):
    ids = [create(alices, training_file, metadata={"run": str(i), "0": "zero"})["id"] for i in range(3)]
    first = alices.get("fine_tuning/jobs", limit=1)[1]
    assert [job["id"] for job in first["data"]] == [ids[2]] and first["has_more"]
    rest = alices.get("fine_tuning/jobs", after=ids[2])[1]
    assert [job["id"] for job in rest["data"]] == [ids[1], ids[0]] and not rest["has_more"]
    found = alices.get("fine_tuning/jobs", **{"metadata[run]": "1", "metadata[0]": "zero"})[1]
    assert [job["id"] for job in found["data"]] == [ids[1]]
    assert alices.get("fine_tuning/jobs", **{"metadata[run]": "9"})[1]["data"] == []


def test_pause_resume_and_cancel(alices, training_file):
    job = create(alices, training_file)
    where = f"fine_tuning/jobs/{job['id']}"
    assert alices.post(f"{where}/resume")[0] == 400
    assert alices.post(f"{where}/pause")[1]["status"] == "queued"
    assert training_of(job).status == Status.PAUSED
    assert alices.post(f"{where}/pause")[1]["error"]["code"] == "invalid_job_status"
    assert alices.post(f"{where}/resume")[0] == 200 and training_of(job).status == Status.QUEUED
    cancelled = alices.post(f"{where}/cancel")[1]
    assert cancelled["status"] == "cancelled" and cancelled["finished_at"] and cancelled["error"] is None
    status, answer = alices.post(f"{where}/cancel")
    assert status == 400 and "already completed" in answer["error"]["message"]


def test_a_running_job_says_when_it_will_be_done(alices, training_file):
    job = create(alices, training_file)
    TrainingJob.objects.filter(pk=training_of(job).pk).update(status=Status.RUNNING, eta_seconds=100)
    told = alices.get(f"fine_tuning/jobs/{job['id']}")[1]
    assert told["status"] == "running" and 90 <= told["estimated_finish"] - time.time() <= 101


def test_what_went_wrong_is_said_in_three_words(alices, training_file):
    job = create(alices, training_file)
    change = TrainingJob.objects.filter(pk=training_of(job).pk).update
    change(
        status=Status.FAILED,
        reason="bad_data",
        message="Row 3 is odd.",
        advice="Mend it.",
        ended_at=timezone.now(),
    )
    told = alices.get(f"fine_tuning/jobs/{job['id']}")[1]
    assert told["status"] == "failed" and told["error"] == {
        "code": "invalid_training_file", "message": "Row 3 is odd. Mend it.", "param": "training_file",
    }  # fmt: skip
    change(status=Status.CRASHED, reason="worker_lost", message="The worker fell silent.")
    assert alices.get(f"fine_tuning/jobs/{job['id']}")[1]["error"]["code"] == "server_error"
    change(status=Status.FAILED, reason="out_of_memory", message="", advice="")
    error = alices.get(f"fine_tuning/jobs/{job['id']}")[1]["error"]
    assert (error["code"], error["param"]) == ("out_of_memory", None) and error["message"]


def test_a_job_that_has_succeeded_names_its_model_and_its_numbers(alices, succeeded):
    job, adapter = succeeded
    told = alices.get(f"fine_tuning/jobs/{job['id']}")[1]
    assert (told["status"], told["fine_tuned_model"], told["trained_tokens"]) == (
        "succeeded",
        adapter.model_id,
        1234,
    )
    assert told["hyperparameters"] == {"n_epochs": 3, "batch_size": 8, "learning_rate_multiplier": 1.0}
    results = alices.get(f"files/{told['result_files'][0]}")[1]
    assert (results["purpose"], results["filename"]) == ("fine-tune-results", "step_metrics.csv")
    table = list(csv.DictReader(alices.content(results["id"]).decode().splitlines()))
    assert list(table[0]) == [
        "step",
        "train_loss",
        "train_accuracy",
        "valid_loss",
        "valid_mean_token_accuracy",
    ]
    assert [row["step"] for row in table] == [str(step) for step in range(1, 7)]
    assert (table[5]["train_loss"], table[5]["valid_loss"], table[0]["valid_loss"]) == (
        "2.25000",
        "2.50000",
        "",
    )
    alices.get("fine_tuning/jobs")
    assert ApiFile.objects.filter(purpose="fine-tune-results").count() == 1
    alices.delete(f"files/{results['id']}")
    assert alices.get(f"fine_tuning/jobs/{job['id']}")[1]["result_files"] == []


def test_result_files_are_written_although_nobody_asks(succeeded):
    sweeping.sweep()
    assert ApiFile.objects.filter(purpose="fine-tune-results").count() == 1


def test_events_come_newest_first_and_page_without_overlap(alices, succeeded):
    job, adapter = succeeded
    where = f"fine_tuning/jobs/{job['id']}/events"
    whole = alices.get(where, limit=100)[1]["data"]
    assert (
        len(whole) == len({event["id"] for event in whole})
        and not alices.get(where, limit=100)[1]["has_more"]
    )
    assert [event["created_at"] for event in whole] == sorted((e["created_at"] for e in whole), reverse=True)
    assert [event["message"] for event in whole[-2:]] == [
        f"Validating training file: {job['training_file']}", f"Created fine-tuning job: {job['id']}",
    ]  # fmt: skip
    messages = [event["message"] for event in whole]
    assert f"New fine-tuned model created: {adapter.model_id}" in messages and "It is done." in messages
    steps = [event for event in whole if event["type"] == "metrics"]
    assert [event["data"]["step"] for event in steps] == [6, 5, 4, 3, 2, 1, 0]
    assert steps[0]["message"] == "Step 6/6: training loss=2.2500, validation loss=2.5000"
    paged, after = [], None
    while True:
        page = alices.get(where, limit=3, **({"after": after} if after else {}))[1]
        paged += page["data"]
        if not page["has_more"]:
            break
        after = page["data"][-1]["id"]
    assert paged == whole
    assert len(alices.get(where)[1]["data"]) == min(20, len(whole))
    for odd in ("x", "ftevent-" + "0" * 32 + "-a0", whole[0]["id"] + "999999"):
        assert alices.get(where, after=odd)[0] == 400


def test_a_page_of_events_reads_few_of_many_steps(
    alices, training_file, monkeypatch, django_assert_max_num_queries
):
    job = create(alices, training_file)
    begun = time.time() - 5000
    make_metrics(training_of(job), [{"step": i, "loss": 1.0, "time": begun + i} for i in range(1, 5001)])
    tune = FineTune.objects.get()
    told = []
    real = tuning_events.step_told
    monkeypatch.setattr(tuning_events, "step_told", lambda *a: told.append(1) or real(*a))
    middle = f"ftevent-{tune.pk.hex}-s2500"
    with django_assert_max_num_queries(80):
        events, has_more = tuning_events.page(tune, middle, 20)
    assert [event["data"]["step"] for event in events] == list(range(2499, 2479, -1)) and has_more
    assert len(told) <= 100


def test_checkpoints_have_names_and_numbers(alices, succeeded, tmp_path):
    job, adapter = succeeded
    training = training_of(job)
    make_checkpoint(training, tmp_path / "step-6", step=6, eval_loss=2.5)
    where = f"fine_tuning/jobs/{job['id']}/checkpoints"
    found = alices.get(where)[1]
    assert [one["step_number"] for one in found["data"]] == [6, 3] and not found["has_more"]
    assert found["data"][1]["fine_tuned_model_checkpoint"] == f"{adapter.model_id}:ckpt-step-3"
    assert found["data"][1]["fine_tuning_job_id"] == job["id"]
    assert found["data"][0]["metrics"] == {
        "step": 6, "train_loss": 2.25, "valid_loss": 2.5, "full_valid_loss": 2.5,
    }  # fmt: skip
    page = alices.get(where, limit=1)[1]
    assert page["has_more"] and page["last_id"] == found["data"][0]["id"]
    assert alices.get(where, after=page["last_id"])[1]["data"] == found["data"][1:]
    assert alices.get(where, after="nope")[0] == 400


def test_a_checkpoint_has_its_name_before_its_job_has_left_anything(alices, training_file, tmp_path):
    job = create(alices, training_file)
    make_checkpoint(training_of(job), tmp_path / "step-2", step=2)
    names = [
        alices.get(f"fine_tuning/jobs/{job['id']}/checkpoints")[1]["data"][0]["fine_tuned_model_checkpoint"]
        for _ in range(2)
    ]
    assert names[0] == names[1] == f"{model_id_of(training_of(job))}:ckpt-step-2"


def test_a_strangers_job_and_a_missing_one_are_the_same(alices, mallorys, succeeded):
    mine, missing = succeeded[0]["id"], "ftjob-" + "0" * 32
    for part in ("", "/events", "/checkpoints"):
        answers = [mallorys.get(f"fine_tuning/jobs/{each}{part}") for each in (mine, missing)]
        assert [status for status, _ in answers] == [404, 404]
        same = [
            answer["error"]["message"].replace(each, "")
            for (_, answer), each in zip(answers, (mine, missing), strict=True)
        ]
        assert same[0] == same[1]
    for part in ("cancel", "pause", "resume"):
        assert mallorys.post(f"fine_tuning/jobs/{mine}/{part}")[0] == 404
    assert mallorys.get("fine_tuning/jobs")[1]["data"] == []
    body = {"model": "tiny", "training_file": succeeded[0]["training_file"]}
    assert mallorys.post("fine_tuning/jobs", body)[1]["error"]["param"] == "training_file"
    body = {"model": succeeded[1].model_id, "training_file": mallorys.send(lines(ROWS))[1]["id"]}
    assert mallorys.post("fine_tuning/jobs", body)[1]["error"]["code"] == "model_not_found"


@pytest.fixture
def unread(alices, settings, monkeypatch):
    """A file that waits for a worker, and what lets that read it."""
    settings.CHECK_AT_ONCE_BYTES = 100
    monkeypatch.setattr("datasets_app.services.imports.send_import", lambda import_id: None)
    monkeypatch.setattr(execution, "supervise", making.bring)

    def send(content: bytes):
        file = alices.send(content)[1]
        assert file["status"] == "uploaded"
        return file["id"], lambda: execution.execute_import(
            str(DatasetImport.objects.latest("created_at").pk)
        )

    return send


def test_a_job_waits_for_its_file_and_starts_by_itself(alices, unread):
    file, read = unread(lines(ROWS))
    job = create(alices, file)
    assert job["status"] == "validating_files"
    sweeping.sweep()
    assert alices.get(f"fine_tuning/jobs/{job['id']}")[1]["status"] == "validating_files"
    read()
    sweeping.sweep()
    sweeping.sweep()
    assert alices.get(f"fine_tuning/jobs/{job['id']}")[1]["status"] == "queued"
    assert TrainingJob.objects.count() == 1


def test_a_job_whose_file_turns_out_bad_fails_and_says_why(alices, unread):
    file, read = unread(b"nothing here " * 50)
    job = create(alices, file)
    read()
    sweeping.sweep()
    told = alices.get(f"fine_tuning/jobs/{job['id']}")[1]
    assert told["status"] == "failed" and told["finished_at"]
    assert (told["error"]["code"], told["error"]["param"]) == ("invalid_training_file", "training_file")
    events = alices.get(f"fine_tuning/jobs/{job['id']}/events")[1]["data"]
    assert events[0]["level"] == "error" and events[0]["message"] == told["error"]["message"]


def test_a_job_that_waits_for_its_file_can_be_cancelled(alices, unread):
    file, read = unread(lines(ROWS))
    job = create(alices, file)
    assert alices.post(f"fine_tuning/jobs/{job['id']}/pause")[0] == 400
    assert alices.post(f"fine_tuning/jobs/{job['id']}/cancel")[1]["status"] == "cancelled"
    read()
    sweeping.sweep()
    assert not TrainingJob.objects.exists()


def test_two_who_start_a_waiting_job_make_one_training(alices, unread):
    file, read = unread(lines(ROWS))
    create(alices, file)
    read()
    sweeping.settle_files()
    first, second = FineTune.objects.get(), FineTune.objects.get()
    tuning.advance(first)
    tuning.advance(second)
    assert TrainingJob.objects.count() == 1


def test_a_job_is_told_although_its_examples_were_erased(alices, alice, training_file, succeeded):
    delete_dataset(dataset=Dataset.objects.for_user(alice).get())
    told = alices.get(f"fine_tuning/jobs/{succeeded[0]['id']}")[1]
    assert (told["status"], told["training_file"]) == ("succeeded", training_file)
    assert alices.get(f"files/{training_file}")[0] == 404


def test_a_token_for_some_models_trains_no_others(alices, training_file):
    ApiToken.objects.update(model_names=["another"])
    status, answer = alices.post("fine_tuning/jobs", {"model": "tiny", "training_file": training_file})
    assert (status, answer["error"]["code"]) == (403, "model_not_allowed")
