"""Pages of what is at work and of the servers."""

import pytest
from django.urls import reverse

from serving import deploying
from serving.models import Deployment, Node, Status
from tests.serving.factories import make_adapter_row

pytestmark = pytest.mark.django_db
PARITY = {
    "is_equal": True, "reason": "", "bound": 0.03, "precision": "bf16", "prompts": 8, "tokens": 177,
    "difference": 0.0029, "worst": 0.03, "base_difference": None, "same_answers": 7, "seconds": 0.12,
    "divergence": {"prompt": 1, "position": 3, "expected": 9, "found": 8, "expected_text": "a", "found_text": "b"},
    "drift": {"mean_abs_logprob_difference": 0.04, "same_answers": 6, "tokens": 177, "quantization": "nf4"},
    "details": {},
}  # fmt: skip


@pytest.fixture
def deployment(coach, alice):
    return deploying.deploy_adapter(adapter=coach, by=alice)


@pytest.fixture
def root_client(client, django_user_model):
    client.force_login(django_user_model.objects.create_superuser("root", password="x"))
    return client


def now_is(deployment, status, **changes) -> None:
    Deployment.objects.filter(pk=deployment.pk).update(status=status, **changes)
    deployment.refresh_from_db()


def page(client, name, *args, **headers) -> str:
    answer = client.get(reverse(f"serving:{name}", args=args), headers=headers)
    assert answer.status_code == 200
    return answer.content.decode()


def test_one_press_puts_an_adapter_to_work(alice_client, coach):
    assert "Put it to work" in page(alice_client, "adapter-work", coach.pk)
    answer = alice_client.post(reverse("serving:adapter-deploy", args=[coach.pk]))
    made = Deployment.objects.get()
    assert answer["Location"] == reverse("serving:work-detail", args=[made.pk])
    fragment = page(alice_client, "adapter-work", coach.pk)
    assert made.model_name in fragment and "every 1s" in fragment and "<html" not in fragment


@pytest.mark.parametrize("status", Status.values)
def test_every_status_has_its_page(alice_client, deployment, status):
    now_is(deployment, status, message="Its reason stands here.", parity=PARITY)
    text = page(alice_client, "work-detail", deployment.pk)
    assert str(Status(status).label) in text
    assert ("every 1s" in text) == (status in ("wanted", "loading", "checking", "draining"))


def test_the_comparison_is_told_in_plain_words(alice_client, deployment):
    now_is(deployment, Status.ACTIVE, parity=PARITY)
    text = page(alice_client, "work-detail", deployment.pk)
    for words in (
        "Answers as it did when it was trained",
        "177 tokens of 8 answers",
        "7 of 8",
        "in 4 bits",
        "answer 2",
    ):
        assert words in text, words
    assert deployment.model_name in text and "new OpenAI" in text


def test_a_page_that_is_open_reads_what_moves_and_then_the_whole(alice_client, deployment):
    url = reverse("serving:work-detail", args=[deployment.pk])
    moving = alice_client.get(url, headers={"HX-Request": "true"})
    assert b"<html" not in moving.content and "HX-Refresh" not in moving
    now_is(deployment, Status.ACTIVE)
    assert alice_client.get(url, headers={"HX-Request": "true"})["HX-Refresh"] == "true"


def test_the_list_shows_what_is_at_work(alice_client, deployment, mallory_client):
    text = page(alice_client, "work-list")
    assert deployment.model_name in text and "Servers" not in text
    assert deployment.model_name not in page(mallory_client, "work-list")
    assert "<html" not in page(alice_client, "work-list", **{"HX-Request": "true"})


def test_the_buttons_do_what_they_say(alice_client, alice, deployment, base_model, tiny):
    poet = make_adapter_row(alice, base_model, tiny["two"], name="Poet")
    now_is(deployment, Status.ACTIVE)
    post = lambda name, **body: alice_client.post(reverse(f"serving:{name}", args=[deployment.pk]), body)  # noqa: E731
    answer = post("work-switch", adapter=str(poet.pk), why="Better.")
    new = Deployment.objects.get(version=2)
    assert answer["Location"] == reverse("serving:work-detail", args=[new.pk])
    assert new.events.get().message == "Better."
    now_is(new, Status.REFUSED)
    post("work-roll-back")  # there is nothing to go back to, which the next page says
    assert "no version before" in page(alice_client, "work-detail", deployment.pk)
    alice_client.post(reverse("serving:work-try-again", args=[new.pk]))
    new.refresh_from_db()
    assert new.status == Status.WANTED
    post("work-unload")
    deployment.refresh_from_db()
    assert deployment.status == Status.DRAINING


def test_a_stranger_finds_nothing(mallory_client, deployment, coach):
    for name in ("work-detail",):
        assert mallory_client.get(reverse(f"serving:{name}", args=[deployment.pk])).status_code == 404
    for name in ("work-switch", "work-roll-back", "work-try-again", "work-unload"):
        assert mallory_client.post(reverse(f"serving:{name}", args=[deployment.pk])).status_code == 404
    for name in ("adapter-work",):
        assert mallory_client.get(reverse(f"serving:{name}", args=[coach.pk])).status_code == 404
    assert mallory_client.post(reverse("serving:adapter-deploy", args=[coach.pk])).status_code == 404


def test_only_superusers_see_servers(alice_client, base_model):
    node = Node.objects.get()
    assert alice_client.get(reverse("serving:node-list")).status_code == 404
    for name in ("node-use", "node-remove"):
        assert alice_client.post(reverse(f"serving:{name}", args=[node.pk])).status_code == 404


def test_a_server_is_added_used_and_removed_on_its_page(root_client, base_model):
    form = {
        "name": "gpu-1", "address": "http://10.0.0.5:8000", "base_model": "tiny", "hardware": "cpu",
        "adapter_slots": 4, "most_rank": 16, "api_key": "a-long-secret-key",
    }  # fmt: skip
    refused = root_client.post(reverse("serving:node-list"), form | {"address": "nonsense"})
    assert refused.status_code == 422 and b"http://10.0.0.5:8000" in refused.content
    assert root_client.post(reverse("serving:node-list"), form).status_code == 302
    node = Node.objects.get(name="gpu-1")
    assert node.most_adapters == 3
    text = page(root_client, "node-list")
    assert "gpu-1" in text and "0 of 3" in text and "secret" not in text
    root_client.post(reverse("serving:node-use", args=[node.pk]))
    assert "out of use" in page(root_client, "node-list")
    root_client.post(reverse("serving:node-remove", args=[node.pk]))
    assert not Node.objects.filter(name="gpu-1").exists()


def test_the_admin_shows_servers_and_deployments_and_keeps_the_rules(root_client, deployment, base_model):
    node = deploying.Node.objects.create(
        name="cpu-1", address="http://x", base_model=base_model, served_name="tiny", hardware="cpu", adapter_slots=2,
        most_adapters=1, most_rank=16, sealed_key="v1:x:secret-token",
    )  # fmt: skip
    for path in ("node/", f"node/{node.pk}/change/", "deployment/", f"deployment/{deployment.pk}/change/"):
        answer = root_client.get(f"/admin/serving/{path}")
        assert answer.status_code == 200 and "secret-token" not in answer.content.decode(), path
    form = {"name": "cpu-1", "hardware": "cpu", "adapter_slots": 2, "most_adapters": 2, "most_rank": 16}
    assert (
        b"one slot has to stay free"
        in root_client.post(f"/admin/serving/node/{node.pk}/change/", form).content
    )
    assert (
        root_client.post(f"/admin/serving/node/{node.pk}/change/", form | {"most_adapters": 1}).status_code
        == 302
    )
