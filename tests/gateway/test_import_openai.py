"""`manage.py import_openai`: an export becomes datasets and plans, once, and says what it could not bring."""

import io
import json

import pytest
from django.core.management import CommandError, call_command

from datasets_app.models import Dataset
from gateway.aliases import create_alias
from gateway.models import ApiFile, BroughtJob
from tests.gateway.openai_client import PAIRS, ROWS, lines
from tests.training.conftest import base_model, device, sent  # noqa: F401 - fixtures
from training import services
from training.models import Plan
from training.plan_settings import settle

pytestmark = pytest.mark.django_db(transaction=True)

FILES = [
    {"id": "file-aaa", "object": "file", "filename": "train.jsonl", "purpose": "fine-tune"},
    {"id": "file-bbb", "object": "file", "filename": "check.jsonl", "purpose": "fine-tune"},
    {"id": "file-ccc", "object": "file", "filename": "results.jsonl", "purpose": "batch_output"},
]
JOB = {
    "id": "ftjob-1", "object": "fine_tuning.job", "model": "gpt-4o-mini-2024-07-18", "training_file": "file-aaa",
    "validation_file": "file-bbb", "status": "succeeded", "seed": 11,
    "fine_tuned_model": "ft:gpt-4o-mini-2024-07-18:acme:tutor:AbC",
    "hyperparameters": {"n_epochs": 2, "batch_size": 1, "learning_rate_multiplier": 1.8},
}  # fmt: skip


@pytest.fixture
def export(tmp_path):
    directory = tmp_path / "export"
    directory.mkdir()
    (directory / "file-aaa.jsonl").write_bytes(lines(ROWS))
    (directory / "check.jsonl").write_bytes(lines(ROWS[:3]))
    (directory / "file-ccc_out.jsonl").write_bytes(b'{"id": "x"}\n')
    (directory / "bad.jsonl").write_bytes(b"nothing\n")
    (directory / "questions.jsonl").write_bytes(b'{"custom_id": "1", "url": "/v1/chat/completions"}\n')
    (directory / "files.json").write_text(json.dumps({"object": "list", "data": FILES}))
    pairs = {"type": "dpo", "dpo": {"hyperparameters": {"beta": 0.2, "n_epochs": "auto"}}}
    jobs = [
        JOB,
        {"id": "ftjob-2", "model": "gpt-9", "training_file": "file-zzz", "hyperparameters": {"n_epochs": 4}},
        {"id": "ftjob-3", "model": "ft:gpt-4o-mini:acme::x", "training_file": "pairs.jsonl", "method": pairs},
        {"id": "ftjob-4", "model": "gpt-4o-mini", "method": {"type": "reinforcement"}},
        {"model": "no id"},
    ]
    (directory / "pairs.jsonl").write_bytes(lines(PAIRS))
    (directory / "fine_tuning_jobs.json").write_text(
        json.dumps({"object": "list", "data": jobs, "has_more": False})
    )
    return directory


@pytest.fixture
def house(alice, base_model, device, sent):  # noqa: F811
    create_alias(owner=None, name="gpt-4o-mini", base_model=base_model)
    return base_model


def bring(directory, **options) -> str:
    said = io.StringIO()
    call_command("import_openai", str(directory), user="alice", stdout=said, **options)
    return said.getvalue()


def test_files_become_datasets_and_jobs_become_plans(alice, house, export):
    said = bring(export)
    assert {dataset.name for dataset in Dataset.objects.for_user(alice)} == {"train", "check", "pairs"}
    plans = {plan.name: plan for plan in Plan.objects.for_user(alice)}
    assert set(plans) == {"tutor", "ftjob-2", "ftjob-3"}
    tutor = plans["tutor"]
    assert (tutor.base_model, tutor.method, tutor.purpose) == (house, "sft", "style")
    assert (tutor.dataset_version.train_count, tutor.dataset_version.held_out_count) == (12, 3)
    config = settle(tutor).asked.config
    assert (config.epochs, config.batch_size * config.gradient_accumulation_steps, config.seed) == (2, 1, 11)
    assert config.learning_rate == pytest.approx(1.8 * 2e-4) and config.early_stopping_checks is None
    assert (plans["ftjob-3"].method, plans["ftjob-3"].config["beta"]) == ("dpo", 0.2)
    assert plans["ftjob-2"].base_model is None and plans["ftjob-2"].config["epochs"] == 4
    assert "bad.jsonl:" in said and "not brought: the settings of ftjob-4" in said
    assert (
        "file-ccc_out.jsonl is a file of purpose batch_output" in said and "questions.jsonl is a file" in said
    )
    assert "no base model is called 'gpt-9' here" in said and "file-zzz is not here" in said
    assert "In all: brought: 6, left: 2, not brought: 3." in said
    assert not ApiFile.objects.exclude(problem="").exists()


def test_a_plan_that_was_brought_starts_as_it_is(alice, house, export):
    bring(export)
    plan = Plan.objects.get(name="tutor")
    job = services.start_job(
        owner=alice, name=plan.name, dataset_version=plan.dataset_version, base_model=plan.base_model, plan=plan,
        config=settle(plan).config,
    )  # fmt: skip
    assert job.config["epochs"] == 2


def test_run_twice_it_brings_nothing_twice(alice, house, export):
    bring(export)
    before = (
        Dataset.objects.count(),
        Plan.objects.count(),
        ApiFile.objects.count(),
        BroughtJob.objects.count(),
    )
    Plan.objects.filter(name="ftjob-2").delete()  # its owner did not want it
    said = bring(export)
    assert "brought: 0" not in said and "here already: 6" in said
    after = (
        Dataset.objects.count(),
        Plan.objects.count() + 1,
        ApiFile.objects.count(),
        BroughtJob.objects.count(),
    )
    assert after == before


def test_a_dry_run_says_the_same_and_writes_nothing(alice, house, export):
    said = bring(export, dry_run=True)
    assert "would bring: 6" in said and "not brought: 3" in said and "Nothing was written." in said
    assert not (Dataset.objects.exists() or Plan.objects.exists() or ApiFile.objects.exists())


def test_odd_lists_are_told_and_do_no_harm(alice, house, tmp_path):
    (tmp_path / "files.json").write_text("{nonsense")
    (tmp_path / "jobs.json").write_text('{"data": 7}')
    said = bring(tmp_path)
    assert "files.json is not JSON" in said and "jobs.json is no list" in said and "no *.jsonl" in said
    (tmp_path / "jobs.json").write_text(
        '[1, {"id": 7}, {"id": "a", "hyperparameters": {"n_epochs": "soon"}}]'
    )
    said = bring(tmp_path)
    assert "a job without an id" in said and "the settings of a: " in said


def test_without_a_directory_or_a_user_it_says_so(alice, tmp_path):
    with pytest.raises(CommandError, match="no directory"):
        bring(tmp_path / "nowhere")
    with pytest.raises(CommandError, match="no user 'bob'"):
        call_command("import_openai", str(tmp_path), user="bob")
