"""Chains: one training after another, each once, through gates, whoever asks how often."""

import pytest
from celery import current_app
from kombu.exceptions import OperationalError

from accounts.models import Notice
from datasets_app.models import DatasetVersion
from tests.training.factories import LEARN, PREFER, finish, make_metrics, make_version, stages
from training import chain_nudges, chains, gates, lineage, services, sweeping, tasks
from training.chains import StageWish, advance_chain, cancel_chain, go_on, start_chain
from training.models import Chain, ChainStatus, JobEvent, Status, TrainingJob

pytestmark = pytest.mark.django_db


def meanwhile(monkeypatch, act) -> None:
    """Does something just before the next job is made, after everything has been looked at."""
    check = services.starting.check_template

    def check_late(**values):
        monkeypatch.setattr(services.starting, "check_template", check)
        act()
        return check(**values)

    monkeypatch.setattr(services.starting, "check_template", check_late)


def now(chain) -> Chain:
    chain.refresh_from_db()
    return chain


def test_a_chain_begins_with_its_first_stage_alone(chain):
    first, second = stages(chain)
    assert chain.status == ChainStatus.RUNNING
    assert (first.job.method, first.job.name, first.job.start_adapter) == ("sft", "Coach, stage 1", None)
    assert second.job is None and TrainingJob.objects.count() == 1
    assert first.job.estimate["seconds"] > 0 and first.job.memory_bytes == first.job.estimate["asks_bytes"]


def test_each_stage_goes_on_from_what_the_one_before_learned_and_then_it_is_over(chain, tmp_path):
    adapter = finish(stages(chain)[0].job, tmp_path)
    advance_chain(chain.pk)
    first, second = stages(chain)
    assert first.has_passed and "50 % better, where 5 % were asked for" in first.verdict
    assert (second.job.method, second.job.name, second.job.start_adapter) == ("dpo", "Coach", adapter)
    finish(second.job, tmp_path, facts={"finished": {"eval_rewards_accuracy": 0.8}})
    advance_chain(chain.pk)
    assert now(chain).status == ChainStatus.SUCCEEDED and chain.ended_at
    assert "80 % of the comparisons" in stages(chain)[1].verdict
    assert "has come to its end" in Notice.objects.get(kind="chain").text


def test_asked_again_and_again_nothing_is_done_twice(chain, tmp_path):
    finish(stages(chain)[0].job, tmp_path)
    for _ in range(4):
        advance_chain(chain.pk)
    assert TrainingJob.objects.count() == 2
    assert JobEvent.objects.filter(kind="chain.passed").count() == 1


def test_of_two_who_begin_a_stage_one_makes_its_job(chain, tmp_path, monkeypatch):
    """The other one is done between our look and our write: our job is undone, and no nudge of it goes out."""
    finish(stages(chain)[0].job, tmp_path)
    meanwhile(monkeypatch, lambda: advance_chain(chain.pk))
    advance_chain(chain.pk)
    assert TrainingJob.objects.filter(method="dpo").count() == 1
    assert now(chain).status == ChainStatus.RUNNING


def test_a_gate_that_stays_shut_stops_the_chain_with_its_words_and_the_owner_may_go_on(chain, tmp_path):
    finish(stages(chain)[0].job, tmp_path, eval_loss=1.98)
    advance_chain(chain.pk)
    assert now(chain).status == ChainStatus.STOPPED
    assert "1 % better, where at least 5 % better was asked for" in chain.message
    assert stages(chain)[1].job is None and "stopped at a gate" in Notice.objects.get(kind="chain").text
    assert JobEvent.objects.filter(kind="chain.stopped").count() == 1
    advance_chain(chain.pk)
    assert stages(chain)[1].job is None
    assert go_on(chain=chain) and chain.status == ChainStatus.RUNNING
    assert "let it go on anyway" in stages(chain)[0].verdict and stages(chain)[1].job
    assert not go_on(chain=chain)


def test_a_last_gate_that_is_let_pass_ends_the_chain_well(chain, tmp_path):
    finish(stages(chain)[0].job, tmp_path)
    advance_chain(chain.pk)
    finish(stages(chain)[1].job, tmp_path)
    advance_chain(chain.pk)
    assert now(chain).status == ChainStatus.STOPPED and "No comparisons were kept aside" in chain.message
    go_on(chain=chain)
    assert chain.status == ChainStatus.SUCCEEDED


@pytest.mark.parametrize(
    ("ended", "becomes", "words"),
    [
        (Status.FAILED, ChainStatus.FAILED, "did not come to its end: Line 7 is empty"),
        (Status.CRASHED, ChainStatus.FAILED, "did not come to its end"),
        (Status.CANCELLED, ChainStatus.CANCELLED, "was stopped"),
    ],
)
def test_a_stage_that_ends_badly_ends_the_chain_and_can_be_tried_again(chain, ended, becomes, words):
    job = stages(chain)[0].job
    TrainingJob.objects.filter(pk=job.pk).update(status=ended, message="Line 7 is empty.")
    advance_chain(chain.pk)
    assert now(chain).status == becomes and words in chain.message
    assert go_on(chain=chain)
    again = stages(chain)[0].job
    assert again != job and again.status == Status.QUEUED and chain.status == ChainStatus.RUNNING


def test_stopping_a_chain_stops_its_training_and_begins_nothing(chain, tmp_path):
    assert cancel_chain(chain=chain) and not cancel_chain(chain=chain)
    assert stages(chain)[0].job.status == Status.CANCELLED
    advance_chain(chain.pk)
    assert now(chain).status == ChainStatus.CANCELLED and not Notice.objects.filter(kind="chain").exists()


def test_a_chain_that_is_stopped_while_a_stage_begins_begins_nothing(chain, tmp_path, monkeypatch):
    finish(stages(chain)[0].job, tmp_path)
    meanwhile(monkeypatch, lambda: cancel_chain(chain=Chain.objects.get(pk=chain.pk)))
    advance_chain(chain.pk)
    assert TrainingJob.objects.count() == 1 and now(chain).status == ChainStatus.CANCELLED


def test_the_end_of_a_job_nudges_its_chain_and_no_other_job_does(
    chain, alice, version, base_model, nudged, django_capture_on_commit_callbacks
):
    other = services.start_job(owner=alice, name="x", dataset_version=version, base_model=base_model)
    nudged.clear()
    with django_capture_on_commit_callbacks(execute=True):
        services.cancel_job(job=other)
    assert nudged == []
    with django_capture_on_commit_callbacks(execute=True):
        services.cancel_job(job=stages(chain)[0].job)
    assert nudged == [str(chain.pk)]
    tasks.advance_chain(chain_id=str(chain.pk))
    assert now(chain).status == ChainStatus.CANCELLED


def test_a_lost_nudge_is_made_up_by_the_sweep(chain, nudged, tmp_path):
    nudged.clear()
    sweeping.sweep()
    assert str(chain.pk) not in nudged  # its training is under way
    finish(stages(chain)[0].job, tmp_path)
    sweeping.sweep()
    assert nudged == [str(chain.pk)]
    cancel_chain(chain=chain)
    assert chain_nudges.nudge_waiting() == 0


def test_a_broker_that_is_away_leaves_the_chain_to_the_sweep(chain, monkeypatch, caplog):
    def refuse(*args, **kwargs):
        raise OperationalError("no broker")

    monkeypatch.setattr(current_app, "send_task", refuse)
    chain_nudges.nudge(chain.pk)
    assert "the sweep will tell it again" in caplog.text


def test_a_stage_that_cannot_begin_says_why(chain, tmp_path, comparisons):
    finish(stages(chain)[0].job, tmp_path)
    DatasetVersion.objects.filter(pk=comparisons.pk).update(train_count=0)
    advance_chain(chain.pk)
    assert now(chain).status == ChainStatus.FAILED
    assert "Stage 2 could not begin: Tastes has no example" in chain.message


def test_what_cannot_be_is_refused_before_anything_begins(alice, version, comparisons, base_model, nudged):
    for wrong, field, words in [
        ([StageWish("sft", version), StageWish("dpo", version)], "stages.1.dataset", "learned by example"),
        ([StageWish("sft", comparisons)], "stages.0.dataset", "compares answers"),
        ([StageWish("sft", version, config={"epochs": 0})], "stages.0.epochs", "epochs is 0"),
        ([StageWish("sft", version, gate={"kind": "luck"})], "stages.0.gate", "no gate 'luck'"),
        ([StageWish("sft", version, gate=PREFER)], "stages.0.gate", "not after sft"),
        ([StageWish("sft", version, gate={"kind": "eval_loss", "percent": 200})], "stages.0.gate", "200"),
        (
            [StageWish("sft", version), StageWish("dpo", comparisons, config={"lora_r": 4})],
            "stages.1.lora_r",
            "leave it out",
        ),
        ([], "stages", "1 to 8"),
    ]:
        with pytest.raises(services.StartRefused, match=words) as refused:
            start_chain(owner=alice, name="x", base_model=base_model, stages=wrong)
        assert refused.value.field == field
    assert not Chain.objects.exists() and not TrainingJob.objects.exists()


def test_a_first_stage_that_is_refused_at_its_start_leaves_no_chain(alice, base_model, nudged):
    empty = make_version(alice, rows=2, held_out=2)
    with pytest.raises(services.StartRefused, match="no example to learn from") as refused:
        start_chain(owner=alice, name="x", base_model=base_model, stages=[StageWish("sft", empty)])
    assert refused.value.field == "stages.0.dataset" and not Chain.objects.exists()


def test_a_stage_of_a_chain_under_way_is_not_deleted_and_its_examples_are_not_erased(chain, comparisons):
    (learner,) = lineage.learners_of([comparisons.pk])
    assert learner.is_at_work and learner.name == "Coach"
    job = stages(chain)[0].job
    TrainingJob.objects.filter(pk=job.pk).update(status=Status.FAILED)
    with pytest.raises(services.DeleteRefused, match="stage of Coach"):
        services.delete_job(job=job)
    with pytest.raises(services.DeleteRefused, match="still under way"):
        chains.delete_chain(chain=chain)
    cancel_chain(chain=chain)
    assert lineage.learners_of([comparisons.pk]) == []
    services.delete_job(job=job)
    comparisons.delete()
    assert [stage.dataset_version_id is None for stage in stages(chain)] == [False, True]
    go_on(chain=chain)
    TrainingJob.objects.update(status=Status.FAILED)
    chains.advance_chain(chain.pk)
    chains.delete_chain(chain=now(chain))
    assert not Chain.objects.exists() and TrainingJob.objects.count() == 1


def test_what_a_later_stage_stands_on_is_not_deleted(chain, tmp_path):
    finish(stages(chain)[0].job, tmp_path)
    advance_chain(chain.pk)
    cancel_chain(chain=now(chain))
    with pytest.raises(services.DeleteRefused, match="Coach goes on from Coach, stage 1"):
        services.delete_job(job=stages(chain)[0].job)


@pytest.mark.parametrize(
    ("before", "after", "is_open", "words"),
    [
        (2.0, 1.9, True, "5 % better, where 5 % were asked for"),
        (2.0, 1.91, False, "4.5 % better, where at least 5 % better was asked for"),
        (2.0, 2.5, False, "25 % worse"),
        (None, None, False, "No examples were kept aside"),
    ],
)
def test_the_gate_of_the_held_out_loss(before, after, is_open, words):
    verdict = gates.judge(LEARN, TrainingJob(eval_loss_base=before, eval_loss=after))
    assert verdict.is_open is is_open and words in verdict.words


def test_the_gate_of_preferences_reads_the_step_of_which_the_adapter_is(chain):
    job = stages(chain)[0].job
    make_metrics(
        job,
        [
            {"step": 0, "eval_rewards_accuracy": 0.5},
            {"step": 10, "eval_rewards_accuracy": 0.75},
            {"step": 20, "eval_rewards_accuracy": 0.55},
        ],
    )
    assert not gates.judge(PREFER, job).is_open
    job.best_step = 10
    assert gates.judge(PREFER, job).is_open and "75 %" in gates.judge(PREFER, job).words


def test_gates_are_named_in_words():
    assert gates.gate_words(LEARN) == "Better on unseen examples by at least 5 %"
    assert gates.gate_words({"kind": "none"}) == "Always go on"
