"""A batch stops where what it was made with ends: its token, or the account; what was answered stays."""

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import ApiToken, Notice
from accounts.services import create_token
from gateway import batch_running, sweeping
from gateway.models import Batch
from ledger.models import Reservation, UsageLine
from ledger.services import set_budget
from tests.gateway.openai_client import Program
from tests.gateway.test_batches import (  # noqa: F401 - fixtures among them
    alices,
    answers,
    create,
    key_of,
    nudges,
    question,
    rows_of,
    run,
)  # fmt: skip
from tests.serving.conftest import embedded, tiny  # noqa: F401 - fixtures
from tests.serving.factories import make_base_model

pytestmark = pytest.mark.django_db(transaction=True)
WORDS = {
    "invalid_api_key": "The batch was cancelled: the API token that sent it was revoked or has expired.",
    "account_deactivated": "The batch was cancelled: the account that sent it was deactivated.",
}


def revoke_by_api(program) -> None:
    """By another token of the same person, as a person does who has lost one."""
    public_id = ApiToken.objects.get(user=program.user).public_id
    text = create_token(user=program.user, name="other", scopes=["write"])[1]
    other = Client(headers={"authorization": f"Bearer {text}"})
    assert other.delete(f"/api/v1/tokens/{public_id}/").status_code == 204


def let_expire(program) -> None:
    ApiToken.objects.filter(user=program.user).update(expiry=timezone.now())


def let_expire_and_sign_in_with_another(program) -> None:
    """Tokens that have expired are deleted then."""
    let_expire(program)
    assert Program(program.user).get("models")[0] == 200
    assert ApiToken.objects.count() == 1


def deactivate(program) -> None:
    program.user.is_active = False
    program.user.save()


@pytest.mark.parametrize(
    ("end", "code"),
    [
        (revoke_by_api, "invalid_api_key"),
        (let_expire, "invalid_api_key"),
        (let_expire_and_sign_in_with_another, "invalid_api_key"),
        (deactivate, "account_deactivated"),
    ],
)
def test_a_batch_stops_between_two_questions_when_what_it_was_made_with_ends(
    alices, alice, embedded, tiny, settings, monkeypatch, end, code  # noqa: F811
):  # fmt: skip
    settings.EMBEDDED_URL, settings.BATCH_CONCURRENCY = embedded.url, 1
    make_base_model(tiny["base"])
    set_budget(owner=alice, limit=1000, measure="tokens")
    batch = create(alices, [question(i, temperature=0) for i in range(5)])
    real, kept = batch_running.keep, []

    def keep(*arguments):
        real(*arguments)
        kept.append(arguments)
        if len(kept) == 2:
            end(alices)

    monkeypatch.setattr(batch_running, "keep", keep)
    run(batch)
    type(alice).objects.update(is_active=True)  # to read it
    reader = Program(alice)
    done = reader.get(f"batches/{batch['id']}")[1]
    assert done["status"] == "cancelled" and done["cancelling_at"] <= done["cancelled_at"]
    assert done["errors"] == {
        "object": "list", "data": [{"code": code, "message": WORDS[code], "param": None, "line": None}],
    }  # fmt: skip
    assert done["request_counts"] == {"total": 5, "completed": 2, "failed": 3}
    good, bad = rows_of(reader, done["output_file_id"]), rows_of(reader, done["error_file_id"])
    assert [(row["custom_id"], row["response"]["status_code"]) for row in good] == [("q0", 200), ("q1", 200)]
    assert [row["custom_id"] for row in bad] == ["q2", "q3", "q4"]
    assert {(row["error"]["code"], row["error"]["message"]) for row in bad} == {
        ("batch_cancelled", WORDS[code])
    }
    assert UsageLine.objects.filter(activity="chat").count() == 2 and not Reservation.objects.exists()
    told = list(Notice.objects.filter(owner=alice, kind="batch").values_list("text", flat=True))
    assert len(told) == (code == "invalid_api_key")
    assert all(text.startswith(f"{batch['id']} was stopped") and "2 of 5 questions" in text for text in told)


def test_one_that_waits_is_never_begun_and_the_sweep_sees_to_it(alices, answers, nudges):  # noqa: F811
    batch = create(alices, [question(0)])
    revoke_by_api(alices)
    del nudges[:]
    sweeping.sweep()
    assert nudges == [key_of(batch)]
    run(batch)
    done = Program(alices.user).get(f"batches/{batch['id']}")[1]
    assert (done["status"], done["errors"]["data"][0]["code"]) == ("cancelled", "invalid_api_key")
    assert not answers.asked and "error_file_id" not in done and "output_file_id" not in done


def test_what_is_answered_in_full_is_completed_all_the_same(alices, answers, monkeypatch):  # noqa: F811
    batch = create(alices, [question(0)])
    real = batch_running.keep
    monkeypatch.setattr(batch_running, "keep", lambda *arguments: (real(*arguments), revoke_by_api(alices)))
    run(batch)
    done = Program(alices.user).get(f"batches/{batch['id']}")[1]
    assert done["status"] == "completed" and "errors" not in done
    assert len(rows_of(Program(alices.user), done["output_file_id"])) == 1


def test_another_tokens_end_and_an_old_batch_without_one_change_nothing(alices, alice, answers):  # noqa: F811
    Program(alice)
    batch, old = create(alices, [question(0)]), create(alices, [question(1)])
    Batch.objects.filter(pk=key_of(old)).update(token_id=None)
    ApiToken.objects.exclude(public_id=Batch.objects.get(pk=key_of(batch)).token_id).delete()
    run(batch)
    assert alices.get(f"batches/{batch['id']}")[1]["status"] == "completed"
    ApiToken.objects.all().delete()
    run(old)
    assert Program(alice).get(f"batches/{old['id']}")[1]["status"] == "completed"
