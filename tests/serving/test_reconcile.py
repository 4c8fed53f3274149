"""Wishes become true on servers: loaded, listed, compared, routed; and again after whatever happens to a server."""

import threading
from datetime import timedelta
from pathlib import Path

import pytest
from asgiref.sync import async_to_sync
from django.utils import timezone

from serving import deploying, in_flight, node_leases, reconcile, services, settling
from serving.models import Deployment, Health, Node, Placement, PlacementState, Status
from serving.protocol import ChatRequest
from tests.common.servers import nobody
from tests.serving.factories import make_base_model, make_node, make_servable
from tests.serving.server_of_adapters import AdapterServer, running

pytestmark = pytest.mark.django_db


@pytest.fixture
def base_model(tiny, no_nudges):
    return make_base_model(tiny["base"])


@pytest.fixture
def coach(alice, base_model, tiny, tmp_path):
    return make_servable(alice, base_model, tiny["one"], tmp_path / "coach", name="Coach", seed=1)


@pytest.fixture
def poet(alice, base_model, tiny, tmp_path):
    return make_servable(alice, base_model, tiny["two"], tmp_path / "poet", name="Poet", seed=2)


@pytest.fixture
def node(server, base_model):
    return make_node(server, base_model)


def look(times: int = 1) -> None:
    for _ in range(times):
        reconcile.reconcile()


def put_to_work(adapter) -> Deployment:
    deployment = deploying.deploy_adapter(adapter=adapter, by=adapter.owner)
    look()
    deployment.refresh_from_db()
    return deployment


def drained(deployment) -> None:
    """Its last answers were given a minute ago."""
    past = timezone.now() - timedelta(minutes=1)
    Deployment.objects.filter(pk=deployment.pk).update(draining_at=past)


def resolve(user, model_id):
    return async_to_sync(services.resolve_model)(user=user, model_id=model_id)


def kinds(deployment) -> list[str]:
    return list(deployment.events.values_list("kind", flat=True))


def test_an_adapter_goes_to_work_after_it_was_compared(server, node, coach, alice):
    deployment = put_to_work(coach)
    assert deployment.status == Status.ACTIVE
    assert list(server.adapters) == [deployment.serving_name]
    assert deployment.parity["is_equal"] is True and deployment.parity["tokens"] == 18
    assert deployment.parity["difference"] == 0 and deployment.parity["same_answers"] == 3
    assert kinds(deployment) == ["deployment.asked", "deployment.active"]
    assert deployment.events.first().by == alice
    # One token was asked for before anybody else could ask.
    assert server.calls("/v1/chat_completions")[0] == deployment.serving_name
    node.refresh_from_db()
    assert node.health == Health.UP and node.last_seen_at and node.figures["running"] == 2
    assert node.probe["is_right"] is True


def test_looking_again_changes_nothing(server, node, coach):
    put_to_work(coach)
    before = len(server.said)
    look(3)
    assert server.calls("/v1/load_lora_adapter") == [Deployment.objects.get().serving_name]
    assert {path for path, _model in server.said[before:]} == {"/v1/models", "/metrics"}


def test_both_names_lead_to_the_server(server, node, coach, alice, mallory):
    deployment = put_to_work(coach)
    for name in (coach.model_id, deployment.model_name):
        target = resolve(alice, name)
        assert target.deployment == target.loaded_name == deployment.serving_name
        assert [place.address for place in target.places] == [server.url]
        assert target.model_id == name and target.lineage["adapter"] == str(coach.pk)
    with pytest.raises(services.ApiError) as caught:
        resolve(mallory, deployment.model_name)
    assert caught.value.code == "model_not_found"
    request = ChatRequest(model="x", messages=[{"role": "user", "content": "Hello"}])

    async def ask():
        target = await services.resolve_model(user=alice, model_id=coach.model_id)
        return await services.backend_for(target).chat(target, request)

    assert async_to_sync(ask)().text == f"I am {deployment.serving_name}."


def test_the_base_is_asked_on_its_server_too(server, node, base_model, alice):
    look()
    target = resolve(alice, base_model.name)
    assert target.base_name == server.served_name and target.places


def test_every_server_of_the_base_gets_it(server, node, coach, base_model, tiny):
    with running(AdapterServer(tiny["base"])) as other:
        make_node(other, base_model, name="two")
        deployment = put_to_work(coach)
        assert list(other.adapters) == list(server.adapters) == [deployment.serving_name]
        assert deployment.placements.filter(state=PlacementState.LOADED).count() == 2


def test_a_server_that_is_away_holds_up_no_other(node, coach, base_model, alice):
    with nobody() as port:
        missing = AdapterServer(base_model.path)
        missing.url = f"http://127.0.0.1:{port}"
        away = make_node(missing, base_model, name="gone")
        deployment = put_to_work(coach)
        assert deployment.status == Status.ACTIVE
        away.refresh_from_db()
        assert away.health == Health.AWAY and away.problem
        assert [place.node for place in resolve(alice, coach.model_id).places] == [str(node.pk)]


def test_a_server_that_says_nothing_yet_holds_up_no_other(node, coach, base_model, tiny, monkeypatch):
    at_work, silent = threading.Event(), AdapterServer(tiny["base"])
    in_time, models, notify = [], silent.get_models, settling.notify

    def tells_late(body):
        in_time.append(at_work.wait(4))
        return models(body)

    def notifies(**words):
        at_work.set()
        notify(**words)

    monkeypatch.setattr(silent, "get_models", tells_late)
    monkeypatch.setattr(settling, "notify", notifies)
    with running(silent):
        make_node(silent, base_model, name="late")
        assert put_to_work(coach).status == Status.ACTIVE
        assert in_time[0]


def test_a_server_that_was_started_again_gets_its_adapters_back(server, node, coach, poet):
    names = {put_to_work(coach).serving_name, put_to_work(poet).serving_name}
    server.restart()
    look()
    assert set(server.adapters) == names
    assert Placement.objects.filter(state=PlacementState.LOADED).count() == 2
    node.refresh_from_db()
    assert node.loads_since_start == 2


def test_what_comes_back_is_compared_again(server, node, coach, alice):
    deployment = put_to_work(coach)
    server.restart()
    server.ways.base_shift = 3.0
    look()
    placement = Placement.objects.get()
    assert (placement.state, placement.reason) == (PlacementState.REFUSED, "wrong_base")
    assert resolve(alice, coach.model_id).places == ()
    assert server.adapters == {} and Deployment.objects.get(pk=deployment.pk).status == Status.ACTIVE


def test_a_switch_loads_the_new_one_before_the_old_one_goes(server, node, coach, poet, alice):
    old = put_to_work(coach)
    new = deploying.switch_deployment(deployment=old, adapter=poet, by=alice, why="It rhymes.")
    assert resolve(alice, old.model_name).deployment == old.serving_name
    look()
    assert set(server.adapters) == {old.serving_name, new.serving_name}
    assert resolve(alice, old.model_name).deployment == new.serving_name
    old.refresh_from_db()
    assert old.status == Status.DRAINING
    look()
    assert old.serving_name in server.adapters  # it may have questions on their way yet
    drained(old)
    look()
    assert list(server.adapters) == [new.serving_name]
    old.refresh_from_db()
    assert old.status == Status.REPLACED and kinds(old)[-2:] == ["deployment.draining", "deployment.replaced"]
    assert new.events.first().message == "It rhymes."


def test_answers_under_way_keep_the_old_version(server, node, coach, alice):
    deployment = put_to_work(coach)
    deploying.unload_deployment(deployment=deployment, by=alice)
    drained(deployment)
    in_flight.mark([deployment.serving_name])
    look()
    assert deployment.serving_name in server.adapters
    in_flight.cache.delete(in_flight.key_of(deployment.serving_name))
    look()
    assert server.adapters == {}
    deployment.refresh_from_db()
    assert deployment.status == Status.UNLOADED


def test_a_new_version_that_is_refused_leaves_the_old_one_at_work(server, node, coach, poet, alice):
    old = put_to_work(coach)
    new = deploying.switch_deployment(deployment=old, adapter=poet, by=alice)
    server.ways.answers_with = old.serving_name
    look()
    new.refresh_from_db()
    assert (new.status, new.reason) == (Status.REFUSED, "stale_adapter")
    assert resolve(alice, old.model_name).deployment == old.serving_name
    assert list(server.adapters) == [old.serving_name]


def test_rolling_back_brings_the_version_before(server, node, coach, poet, alice):
    old = put_to_work(coach)
    new = deploying.switch_deployment(deployment=old, adapter=poet, by=alice)
    look()
    drained(old)
    look()
    back = deploying.roll_back(deployment=new, by=alice, why="Worse.")
    assert back.pk == old.pk
    look()
    assert resolve(alice, old.model_name).deployment == old.serving_name
    new.refresh_from_db()
    assert new.status == Status.DRAINING
    assert ("deployment.rolled_back", "Worse.") in old.events.values_list("kind", "message")


def test_rolling_back_before_the_old_one_is_gone_loads_nothing(server, node, coach, poet, alice):
    old = put_to_work(coach)
    new = deploying.switch_deployment(deployment=old, adapter=poet, by=alice)
    look()
    loads = server.calls("/v1/load_lora_adapter")
    deploying.roll_back(deployment=new, by=alice)
    look()
    assert resolve(alice, old.model_name).deployment == old.serving_name
    assert server.calls("/v1/load_lora_adapter") == loads


@pytest.mark.parametrize(
    ("ways", "reason"),
    [
        ({"prefix": [1]}, "template_drift"),
        ({"base_shift": 3.0}, "wrong_base"),
        ({"base_shift": 0.2}, "quantisation"),
        ({"ignores_adapters": True}, "not_applied"),
        ({"answers_with": "somebody-else"}, "stale_adapter"),
        ({"hides": True}, "not_listed"),
        ({"refuses": "LoRA rank 64 is greater than max_lora_rank 16."}, "adapter_refused"),
        ({"cannot_chat": "index out of range"}, "cannot_answer"),
        ({"is_not_number": True}, "cannot_compare"),
    ],
)
def test_what_is_not_as_it_was_trained_is_told_apart_and_not_routed(server, node, coach, alice, ways, reason):
    for name, value in ways.items():
        setattr(server.ways, name, value)
    deployment = put_to_work(coach)
    assert (deployment.status, deployment.reason) == (Status.REFUSED, reason), deployment.message
    assert deployment.message and server.adapters == {}
    assert resolve(alice, coach.model_id).places == ()
    assert kinds(deployment)[-1] == "deployment.refused"
    # It is not tried over and over, but once more when its owner wants it.
    loads = len(server.calls("/v1/load_lora_adapter"))
    look(2)
    assert len(server.calls("/v1/load_lora_adapter")) == loads
    server.ways = type(server.ways)()
    assert deploying.try_again(deployment=deployment, by=alice)
    look()
    deployment.refresh_from_db()
    assert deployment.status == Status.ACTIVE


def test_damaged_files_are_told_from_a_stale_adapter(server, node, coach, alice):
    from apex.common import files

    directory = files.local_directory(coach.directory_sha256)
    weights = directory / "adapter_config.json"
    weights.write_text(weights.read_text() + "\n")
    server.ways.answers_with = "somebody-else"
    assert put_to_work(coach).reason == "corrupted"


def test_rounding_is_no_difference(server, node, coach):
    server.ways.noise = 0.008
    assert put_to_work(coach).status == Status.ACTIVE


@pytest.mark.parametrize("says_when_started", [True, False])
def test_a_server_that_mixes_answers_up_is_not_asked(server, node, coach, poet, alice, says_when_started):
    server.ways.says_when_started = says_when_started
    put_to_work(coach)
    server.ways.mixes = True
    deployment = put_to_work(poet)
    assert (deployment.status, deployment.reason) == (Status.REFUSED, "mixes_up")
    node.refresh_from_db()
    assert node.health == Health.MIXING and "tiny" in node.problem
    assert resolve(alice, coach.model_id).places == ()
    look(2)
    node.refresh_from_db()
    assert node.health == Health.MIXING
    # Started again, with more slots, it is asked once more.
    server.restart()
    server.ways.mixes = False
    look(2)
    node.refresh_from_db()
    assert node.health == Health.UP and resolve(alice, coach.model_id).places


def test_on_a_processor_what_the_base_writes_among_adapters_is_compared(server, base_model, coach, poet):
    """Probabilities asked at once would end a vLLM that nobody has mended."""
    node = make_node(server, base_model, hardware="cpu")
    put_to_work(coach)
    node.refresh_from_db()
    assert (node.probe["is_right"], node.probe["adapters"], node.probe["asked"]) == (True, 1, 6)
    server.ways.mixes = True
    deployment = put_to_work(poet)
    assert (deployment.status, deployment.reason) == (Status.REFUSED, "mixes_up")
    node.refresh_from_db()
    assert node.health == Health.MIXING and node.probe["base_difference"] > 0.25


def test_a_server_without_adapters_of_ours_still_mixes_until_it_was_started_again(
    server, base_model, coach, alice
):
    """Others have used up its slots: with the first of ours it is wrong, and that one is taken off again."""
    server.adapters["somebodys"] = Path("/elsewhere")
    server.ways.mixes = True
    node = make_node(server, base_model, hardware="cpu")
    assert put_to_work(coach).reason == "mixes_up"
    look(2)
    node.refresh_from_db()
    assert list(server.adapters) == ["somebodys"] and node.health == Health.MIXING
    server.restart()
    look(2)
    node.refresh_from_db()
    assert (node.health, node.loads_since_start, node.probe) == (Health.UP, 0, {})
    assert deploying.try_again(deployment=Deployment.objects.get(), by=alice)
    look()
    assert Deployment.objects.get().status == Status.ACTIVE


def test_the_longest_unused_waits_on_disk_and_comes_back_when_it_is_asked(
    server, base_model, coach, poet, alice
):
    make_node(server, base_model, adapter_slots=1)
    first, second = put_to_work(coach), put_to_work(poet)
    assert list(server.adapters) == [second.serving_name]
    assert first.placements.get().state == PlacementState.RESTING
    target = resolve(alice, coach.model_id)
    assert target.places and list(server.adapters) == [first.serving_name]
    assert second.placements.get().state == PlacementState.RESTING


def test_on_a_processor_registrations_are_counted(server, base_model, coach, poet, alice):
    node = make_node(server, base_model, hardware="cpu", adapter_slots=2)
    assert node.most_adapters == 1
    first = put_to_work(coach)
    deploying.unload_deployment(deployment=first, by=alice)
    drained(first)
    second = put_to_work(poet)
    assert server.adapters == {} and second.status == Status.WANTED
    assert "start it again" in second.message
    server.restart()
    look()
    assert list(server.adapters) == [second.serving_name]


def test_names_of_ours_that_nobody_wants_are_taken_off_and_others_left(server, node, coach):
    server.adapters = {"a0123456789ab-v1": "/nowhere", "somebodys": "/else"}
    deployment = put_to_work(coach)
    assert set(server.adapters) == {"somebodys", deployment.serving_name}


def test_that_a_server_was_seen_is_written_once_a_minute(node):
    look()
    seen = Node.objects.get(pk=node.pk).last_seen_at
    look(2)
    assert Node.objects.get(pk=node.pk).last_seen_at == seen
    Node.objects.update(last_seen_at=seen - timedelta(minutes=2))
    look()
    assert Node.objects.get(pk=node.pk).last_seen_at > seen


def test_a_server_with_another_base_is_said_to_be_wrong(server, node):
    server.served_name = "other"
    look()
    node.refresh_from_db()
    assert node.health == Health.WRONG and "other" in node.problem


def test_two_that_look_at_once_do_it_once(server, node, coach):
    token = node_leases.take(node.pk)
    deployment = put_to_work(coach)
    assert deployment.status == Status.WANTED and server.said == []
    # Whoever was there hears of it and looks once more.
    assert node_leases.give_back(node.pk, token) is False
    assert node_leases.give_back(node.pk, token) is True
    look()
    deployment.refresh_from_db()
    assert deployment.status == Status.ACTIVE


def test_a_lease_of_a_worker_that_died_ends_by_itself(server, node):
    assert node_leases.take(node.pk)
    Node.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    assert node_leases.take(node.pk)


def test_without_a_record_it_is_told_that_nothing_was_compared(server, node, coach, alice, tiny, base_model):
    from tests.serving.factories import make_adapter_row

    deployment = put_to_work(make_adapter_row(alice, base_model, tiny["two"], name="Old"))
    assert deployment.status == Status.ACTIVE and deployment.parity["is_equal"] is None
