"""Fit, time and price before a start: on which machines, how they are calibrated, and what to change."""

import json
from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from apex.common import files
from base_models.models import BaseModel
from tests.training.factories import make_version
from training import calibration, places, telling
from training.engine.hardware import Gpu, Hardware
from training.estimating import Asked
from training.models import Attempt, Device, HardwareOffer, Node, Status, TrainingJob
from training.services import StartRefused

pytestmark = pytest.mark.django_db
GIB = 1024**3
LAPTOP = Hardware(2, 8 * GIB, 6 * GIB)


@pytest.fixture(autouse=True)
def laptop(monkeypatch):
    """The machine that the tests run on does not matter."""
    monkeypatch.setattr(places, "read_hardware", lambda: LAPTOP)


def add_node(
    name="rack", gpus=2, gpu="NVIDIA H100 80GB HBM3", hostname="elsewhere", price="2.50", online=True
):
    node = Node.objects.create(
        name=name, hostname=hostname, cpus=32, memory_bytes=256 * GIB, is_online=online
    )
    for index in range(gpus):
        Device.objects.create(
            node=node,
            kind="gpu",
            index=index,
            name=gpu,
            memory_bytes=80 * GIB,
            queue=f"{name}.gpu{index}",
            price_per_hour=Decimal(price),
        )
    return node


def finished_job(
    alice, version, base_model, told, *, device="cpu (1 of 2 cores)", speed=2.0, seconds=1.5, **changes
):
    """A job that reached `speed` times what the formula said, in `seconds` times what was estimated."""
    hardware = told["by_hardware"][calibration.hardware_key(device)]
    fields = {"status": Status.SUCCEEDED, "step": 10, "total_steps": 10, "ended_at": timezone.now(), "estimate": told,
              "tokens_per_second": hardware["formula_tokens_per_second"] * speed,
              "facts": {"started": {"device": device}}} | changes  # fmt: skip
    job = TrainingJob.objects.create(
        owner=alice, name="Past", dataset_version=version, base_model=base_model, **fields
    )
    took = timedelta(seconds=hardware["seconds"] * seconds)
    now = timezone.now()
    attempt = Attempt.objects.create(job=job, token=1, worker="w", heartbeat_at=now, ended_at=now)
    Attempt.objects.filter(pk=attempt.pk).update(started_at=now - took)
    return job


def test_without_nodes_it_would_run_here_at_no_cost(version, base_model):
    told = telling.estimate_job(version, base_model)
    assert (told["place"], told["kind"], told["device"], told["fits"]) == (
        "This machine",
        "here",
        "cpu (2 cores)",
        True,
    )
    assert told["cost"]["on_demand"] == 0 and told["is_measured"] is False
    assert sum(part["bytes"] for part in told["memory"]) == told["memory_bytes"]
    assert sum(told["memory_parts"].values()) == told["memory_bytes"]
    assert "of 2 cores" in told["arithmetic"]


def test_nodes_that_announced_themselves_are_places_with_their_prices(version, base_model):
    add_node(gpus=2)
    add_node("off", online=False)
    found = telling.places_told(Asked(version, base_model, devices=2))
    own = {place["place"]: place for place in found if place["kind"] != "offer"}
    assert {name: (place["hardware"], place["devices"]) for name, place in own.items()} == {
        "rack": ("NVIDIA H100 80GB HBM3", 2),
        "This machine": ("cpu (2 cores)", 2),  # two processes, each with half of the memory
    }
    assert own["rack"]["price"]["on_demand"] == 5.0 and own["rack"]["cost"]["on_demand"] > 0
    assert own["This machine"]["memory_free_bytes"] == 3 * GIB


def test_more_devices_than_any_machine_has_are_refused_with_the_number(version, base_model):
    with pytest.raises(StartRefused, match="No machine here has 3 devices") as refused:
        telling.estimate_job(version, base_model, devices=3)
    assert refused.value.field == "device_count"


def test_this_machine_is_not_named_twice_once_it_has_announced_itself(version, base_model, monkeypatch):
    add_node(hostname=places.socket.gethostname(), gpus=1)
    gpu = Gpu(0, "NVIDIA H100 80GB HBM3", 80 * GIB, 30 * GIB)
    monkeypatch.setattr(places, "read_hardware", lambda: Hardware(2, 8 * GIB, 6 * GIB, (gpu,)))
    found = [place for place in telling.places_told(Asked(version, base_model)) if place["kind"] != "offer"]
    assert len(found) == 1 and found[0]["place"] == "This machine"
    assert found[0]["memory_free_bytes"] == 30 * GIB


def test_the_price_table_begins_filled_and_superusers_edit_it(version, base_model, admin_client):
    names = {offer.gpu_name.removeprefix("NVIDIA ") for offer in HardwareOffer.objects.all()}
    assert names == {
        "T4",
        "L4",
        "A10G",
        "RTX 4090",
        "A100 40 GB",
        "A100 80 GB",
        "L40S",
        "H100",
        "H200",
        "B200",
    }
    assert all(offer.source and offer.priced_at for offer in HardwareOffer.objects.all())
    h100 = HardwareOffer.objects.get(gpu_name="NVIDIA H100")
    assert (h100.spot_low, h100.spot_high, h100.on_demand) == (
        Decimal("2.49"), Decimal("4.99"), Decimal("7.99"),
    )  # fmt: skip
    assert admin_client.get("/admin/training/hardwareoffer/").status_code == 200
    HardwareOffer.objects.exclude(pk=h100.pk).update(is_shown=False)
    HardwareOffer.objects.filter(pk=h100.pk).update(on_demand=Decimal("3.99"))
    (offer,) = [p for p in telling.places_told(Asked(version, base_model)) if p["kind"] == "offer"]
    assert (offer["price"]["low"], offer["price"]["high"], offer["price"]["on_demand"]) == (2.49, 4.99, 3.99)
    hours = offer["seconds"] / 3600
    assert offer["cost"]["on_demand"] == pytest.approx(3.99 * hours, abs=0.001)


def test_several_rented_gpus_cost_several_prices(version, base_model):
    one, two = (
        next(p for p in telling.places_told(asked) if p["hardware"] == "NVIDIA H100")
        for asked in (Asked(version, base_model), _on_two(version, base_model))
    )
    assert two["price"]["on_demand"] == 2 * one["price"]["on_demand"] and two["place"] == "1 × H100 × 2"


def _on_two(version, base_model):
    add_node(gpus=2)
    return Asked(version, base_model, devices=2)


def test_past_trainings_on_the_same_hardware_set_the_speed(alice, version, base_model):
    first = telling.estimate_job(version, base_model)
    for speed in (0.5, 0.4, 0.6):
        finished_job(alice, version, base_model, first, speed=speed)
    now = telling.estimate_job(version, base_model)
    assert now["is_measured"] and now["past"]["runs"] == 3 and now["past"]["is_same_model"]
    assert now["past"]["factor"] == pytest.approx(0.5, rel=0.01)
    assert now["tokens_per_second"] == pytest.approx(first["tokens_per_second"] / 2, rel=0.01)


def test_what_ran_on_other_hardware_says_nothing_here(alice, version, base_model):
    told = telling.estimate_job(version, base_model)
    finished_job(alice, version, base_model, told, device="NVIDIA H100 80GB HBM3", speed=0.3)
    assert telling.estimate_job(version, base_model)["past"] is None
    h100 = next(p for p in telling.places_told(Asked(version, base_model)) if p["hardware"] == "NVIDIA H100")
    assert h100["past"]["factor"] == pytest.approx(0.3, rel=0.01)


def test_another_base_model_on_this_hardware_counts_until_there_is_one_of_its_own(alice, version, base_model):
    other = BaseModel.objects.create(
        name="other",
        source="built_in",
        location="/x",
        directory=base_model.directory,
        is_on_this_machine=True,
    )
    told = telling.estimate_job(version, base_model)
    finished_job(alice, version, other, told, speed=3.0)
    assert telling.estimate_job(version, base_model)["past"] | {"error": 0, "beside": 0} == {
        "factor": 3.0, "runs": 1, "is_same_model": False, "error": 0, "estimates": 1, "beside": 0,
    }  # fmt: skip
    finished_job(alice, version, base_model, told, speed=1.25)
    assert telling.estimate_job(version, base_model)["past"]["factor"] == pytest.approx(1.25, rel=0.01)


def test_how_far_off_past_estimates_were_is_told(alice, version, base_model):
    told = telling.estimate_job(version, base_model)
    for seconds in (1.25, 0.8):  # off by 20 % of the time and by 25 %
        finished_job(alice, version, base_model, told, seconds=seconds)
    past = telling.estimate_job(version, base_model)["past"]
    assert past["estimates"] == 2 and past["error"] == pytest.approx(0.225, abs=0.005)


def test_the_time_beside_learning_is_learned_too(alice, version, base_model):
    first = telling.estimate_job(version, base_model)
    told = first["by_hardware"]["cpu 2"]
    learning = first["tokens"] / told["formula_tokens_per_second"]
    # It took twice the time beside learning, which went as fast as the formula says.
    seconds = (learning + 2 * told["beside_seconds"]) / told["seconds"]
    finished_job(alice, version, base_model, first, speed=1.0, seconds=seconds, tokens=first["tokens"])
    now = telling.estimate_job(version, base_model)
    assert now["past"]["beside"] == pytest.approx(2, abs=0.01)
    assert now["seconds"] == pytest.approx(learning + 2 * told["beside_seconds"], rel=0.02)


def test_an_estimate_is_compared_only_with_what_it_was_for(alice, version, base_model):
    told = telling.estimate_job(version, base_model)
    half = finished_job(alice, version, base_model, told, seconds=0.5, step=5)  # stopped early, half way
    assert calibration.error_of(half) == pytest.approx(0, abs=0.01)
    twice = finished_job(alice, version, base_model, told, seconds=0.5)
    now = timezone.now()
    Attempt.objects.create(job=twice, token=2, worker="w", heartbeat_at=now, ended_at=now)
    assert calibration.error_of(twice) is None
    unfinished = finished_job(alice, version, base_model, {**told, "by_hardware": told["by_hardware"]})
    TrainingJob.objects.filter(pk=unfinished.pk).update(estimate={})
    unfinished.refresh_from_db()
    assert calibration.error_of(unfinished) is None


def test_too_big_says_what_to_change_and_what_that_saves(version, base_model, monkeypatch):
    # A program of 750 MiB, a model of 10 MB, and a little too little room for the rest.
    monkeypatch.setattr(places, "read_hardware", lambda: Hardware(2, GIB, 833 * 1024**2))
    asked = Asked(version, base_model)
    assert not telling.told(asked)["fits"]
    found = telling.suggestions_told(asked)
    assert found and found[0]["fits"] and "Saves" in found[0]["text"] and found[0]["button"]
    better = telling.estimate_job(version, base_model, found[0]["config"])
    assert better["fits"] and better["memory_bytes"] == found[0]["memory_bytes"]


def test_what_fits_nowhere_asks_for_no_more_than_there_is(version, base_model, monkeypatch):
    monkeypatch.setattr(places, "read_hardware", lambda: Hardware(2, 800 * 1024**2, 700 * 1024**2))
    told = telling.estimate_job(version, base_model)
    assert not told["fits"] and told["memory_bytes"] > told["asks_bytes"] == 800 * 1024**2


def test_where_it_fits_nothing_is_suggested(version, base_model):
    assert telling.suggestions_told(Asked(version, base_model)) == []


def test_both_sides_of_a_comparison_are_counted(alice, base_model):
    version = make_preferences(alice)
    found = Asked(version, base_model, method="dpo")
    assert found.rows.rows == 4 and found.rows.tokens > 2 * min(found.lengths.train) * 4 * 0.8
    assert telling.told(found)["memory_parts"]["reference"] > 0
    with pytest.raises(StartRefused, match="compares answers"):
        Asked(version, base_model)


def make_preferences(owner):
    version = make_version(owner, name="Taste", rows=5, held_out=1)
    lines = [
        json.dumps(
            {
                "prompt": [{"role": "user", "content": f"q{i}"}],
                "chosen": [{"role": "assistant", "content": "A long and kind answer."}],
                "rejected": [{"role": "assistant", "content": "No."}],
                "conversation": str(i),
                "line": i + 1,
                "split": "train" if i else "held_out",
            }
        )
        for i in range(5)
    ]
    stored = files.put_bytes("\n".join(lines).encode())
    type(version).objects.filter(pk=version.pk).update(kind="preference", rows_sha256=stored.sha256)
    version.refresh_from_db()
    return version
