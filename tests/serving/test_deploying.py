"""What people ask for: put to work, switch, go back, take down; and what is refused."""

import pytest

from serving import deploying
from serving.models import MOVES, Deployment, Status
from tests.serving.factories import make_adapter_row
from training.kept_checkpoints import delete_adapter
from training.services import DeleteRefused, delete_job

pytestmark = pytest.mark.django_db


@pytest.fixture
def deployment(coach, alice):
    return deploying.deploy_adapter(adapter=coach, by=alice)


def now_is(deployment, status) -> None:
    Deployment.objects.filter(pk=deployment.pk).update(status=status)
    deployment.refresh_from_db()


def test_a_deployment_says_who_wanted_it_and_tells_the_servers_nothing(deployment, alice, no_nudges,
                                                                       django_capture_on_commit_callbacks):  # fmt: skip
    assert deployment.owner == alice and deployment.status == Status.WANTED and deployment.version == 1
    assert deployment.model_name.startswith("live:alice:coach:")
    assert deployment.serving_name == f"a{deployment.line}-v1"
    assert deployment.events.get().by == alice


def test_asked_twice_it_is_put_to_work_once(deployment, coach, alice):
    assert deploying.deploy_adapter(adapter=coach, by=alice) == deployment
    now_is(deployment, Status.ACTIVE)
    assert deploying.deploy_adapter(adapter=coach, by=alice) == deployment
    now_is(deployment, Status.UNLOADED)
    assert deploying.deploy_adapter(adapter=coach, by=alice) != deployment


def test_the_servers_are_told_on_commit(coach, alice, no_nudges, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        deploying.deploy_adapter(adapter=coach, by=alice)
        assert no_nudges == []
    assert no_nudges == ["serving.tasks.reconcile"]


def test_without_a_server_it_is_refused(coach, alice):
    deploying.Node.objects.all().delete()
    with pytest.raises(deploying.DeployRefused, match="No server of Tiny"):
        deploying.deploy_adapter(adapter=coach, by=alice)


def test_a_new_version_keeps_the_name_that_programs_call(deployment, poet, alice):
    now_is(deployment, Status.ACTIVE)
    new = deploying.switch_deployment(deployment=deployment, adapter=poet, by=alice)
    assert new.model_name == deployment.model_name and new.version == 2 and new.replaces == deployment
    assert new.serving_name != deployment.serving_name
    with pytest.raises(deploying.DeployRefused, match="Version 2 is on its way"):
        deploying.switch_deployment(deployment=deployment, adapter=poet, by=alice)


def test_a_switch_to_the_same_or_to_nothing_is_refused(
    deployment, coach, poet, alice, mallory, base_model, tiny
):
    now_is(deployment, Status.UNLOADED)
    with pytest.raises(deploying.DeployRefused, match="No version"):
        deploying.switch_deployment(deployment=deployment, adapter=poet, by=alice)
    now_is(deployment, Status.ACTIVE)
    with pytest.raises(deploying.DeployRefused, match="at work already"):
        deploying.switch_deployment(deployment=deployment, adapter=coach, by=alice)
    theirs = make_adapter_row(mallory, base_model, tiny["two"], name="Theirs")
    with pytest.raises(deploying.DeployRefused, match="somebody else"):
        deploying.switch_deployment(deployment=deployment, adapter=theirs, by=alice)


def test_there_has_to_be_something_to_go_back_to(deployment, alice):
    now_is(deployment, Status.ACTIVE)
    with pytest.raises(deploying.DeployRefused, match="no version before"):
        deploying.roll_back(deployment=deployment, by=alice)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (Status.ACTIVE, Status.DRAINING),
        (Status.WANTED, Status.UNLOADED),
        (Status.LOADING, Status.UNLOADED),
        (Status.CHECKING, Status.UNLOADED),
        (Status.REFUSED, Status.UNLOADED),
        (Status.DRAINING, None),
        (Status.UNLOADED, None),
        (Status.REPLACED, None),
    ],
)
def test_taking_down(deployment, alice, before, after):
    now_is(deployment, before)
    assert deploying.unload_deployment(deployment=deployment, by=alice) == (after is not None)
    deployment.refresh_from_db()
    assert deployment.status == (after or before)


@pytest.mark.parametrize("status", Status.values)
def test_only_what_was_refused_is_tried_again(deployment, alice, status):
    now_is(deployment, status)
    assert deploying.try_again(deployment=deployment, by=alice) == (status == Status.REFUSED)


def test_every_status_can_be_left_and_none_leads_to_active_unchecked():
    assert set(MOVES) == set(Status.values) and all(MOVES.values())
    assert [status for status, after in MOVES.items() if Status.ACTIVE in after] == [Status.CHECKING]


def test_what_is_at_work_is_not_deleted(deployment, coach, alice):
    with pytest.raises(DeleteRefused, match="Coach is at work; take it down first"):
        delete_job(job=coach.job)
    now_is(deployment, Status.UNLOADED)
    delete_job(job=coach.job)
    assert not Deployment.objects.exists()


def test_a_kept_checkpoint_at_work_is_not_deleted_either(deployment, coach, alice):
    type(coach).objects.filter(pk=coach.pk).update(step=7)
    coach.refresh_from_db()
    with pytest.raises(DeleteRefused, match="at work"):
        delete_adapter(adapter=coach)
    now_is(deployment, Status.REPLACED)
    delete_adapter(adapter=coach)
