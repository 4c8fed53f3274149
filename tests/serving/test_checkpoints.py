"""A checkpoint on trial: beside its base and what the job left, answered by the real process."""

import shutil

import pytest
from django.test import AsyncClient
from django.urls import reverse

from apex.common import files
from serving.selectors import adapters_for
from tests.serving.factories import make_adapter_row, make_base_model
from tests.serving.streams import read_stream
from tests.training.factories import make_checkpoint
from training.kept_checkpoints import keep_checkpoint
from training.models import Adapter

pytestmark = pytest.mark.django_db


@pytest.fixture
def adapter(alice, tiny):
    return make_adapter_row(alice, make_base_model(tiny["base"]), tiny["one"])


@pytest.fixture
def checkpoint(adapter, tiny, tmp_path):
    shutil.copytree(tiny["two"], tmp_path / "step-2")
    return make_checkpoint(adapter.job, tmp_path / "step-2", step=2)


@pytest.fixture
def answering(embedded, settings):
    settings.EMBEDDED_URL = embedded.url


def ask(user, name, arguments, prompt="Hello, who are you?"):
    client = AsyncClient()
    client.force_login(user)
    status, events = read_stream(client, reverse(f"serving:{name}", args=arguments), prompt)
    return status, "".join(event.get("delta", "") for event in events), events


def test_base_checkpoint_and_end_stand_side_by_side_and_differ(alice, alice_client, checkpoint, answering):
    here = [checkpoint.job_id, 2]
    page = alice_client.get(reverse("serving:checkpoint-compare", args=here)).content.decode()
    end = Adapter.objects.get(step=None)
    assert reverse("serving:answer-tuned", args=[end.pk]) in page and "Ask all three" in page
    assert reverse("training:checkpoint-keep", args=here) in page
    texts = {
        ask(alice, "checkpoint-answer-base", here)[1],
        ask(alice, "checkpoint-answer-tuned", here)[1],
        ask(alice, "answer-tuned", [end.pk])[1],
    }
    assert len(texts) == 3 and all(texts)


def test_while_the_job_runs_there_are_two(alice_client, checkpoint):
    Adapter.objects.all().delete()
    page = alice_client.get(reverse("serving:checkpoint-compare", args=[checkpoint.job_id, 2]))
    assert "Ask both" in page.content.decode() and "At the end" not in page.content.decode()


def test_a_kept_one_answers_as_it_did_and_is_among_the_models(alice, checkpoint, answering):
    tried = ask(alice, "checkpoint-answer-tuned", [checkpoint.job_id, 2])[1]
    kept = keep_checkpoint(job=checkpoint.job, step=2)
    assert ask(alice, "answer-tuned", [kept.pk])[1] == tried
    assert kept in adapters_for(alice) and adapters_for(alice).count() == 2


def test_one_that_was_pruned_meanwhile_is_told_in_plain_words(alice, checkpoint, answering):
    files.delete_stored(checkpoint.directory_sha256)
    events = ask(alice, "checkpoint-answer-tuned", [checkpoint.job_id, 2])[2]
    assert "no checkpoint of step 2 any more" in events[-1]["error"]


def test_a_stranger_gets_nothing(mallory, mallory_client, checkpoint):
    here = [checkpoint.job_id, 2]
    assert mallory_client.get(reverse("serving:checkpoint-compare", args=here)).status_code == 404
    for name in ("checkpoint-answer-base", "checkpoint-answer-tuned"):
        assert ask(mallory, name, here)[0] == 404
