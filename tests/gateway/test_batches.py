"""`/v1/batches`: every question of a file is answered once, whoever is killed on the way."""

import asyncio
import json
import uuid
from datetime import timedelta

import pytest
from asgiref.sync import async_to_sync
from celery import current_app
from django.utils import timezone

from accounts.models import ApiToken, Notice
from apex.common import files as stored_files
from gateway import batch_answers, batch_running, sweeping
from gateway.aliases import create_alias
from gateway.batch_answers import Answered
from gateway.models import ApiFile, Batch, BatchAnswer
from ledger.models import Counter, Reservation, ServingPrice, UsageLine
from ledger.services import set_budget
from serving.backends.base import BackendUnavailable
from serving.protocol import Ability, ApiError
from tests.gateway.openai_client import Program
from tests.serving.conftest import embedded, tiny  # noqa: F401 - fixtures
from tests.serving.factories import make_adapter_row, make_base_model

pytestmark = pytest.mark.django_db(transaction=True)
CHAT = "/v1/chat/completions"


def question(number: int, **body) -> dict:
    asked = {"model": "tiny", "messages": [{"role": "user", "content": f"Number {number}?"}], "max_tokens": 4}
    return {"custom_id": f"q{number}", "method": "POST", "url": CHAT, "body": asked | body}


def as_file(rows) -> bytes:
    return "\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows).encode()


@pytest.fixture
def nudges(monkeypatch):
    """Batches that a worker was told of."""
    sent = []
    monkeypatch.setattr(current_app, "send_task", lambda name, kwargs: sent.append(kwargs["batch_id"]))
    return sent


@pytest.fixture
def alices(alice, nudges):
    return Program(alice)


@pytest.fixture
def mallorys(mallory, nudges):
    return Program(mallory)


@pytest.fixture
def answers(monkeypatch):
    """What is asked is noted and answered at once; `answers.says` may be another way to answer."""
    return Answers(monkeypatch)


class Answers:
    def __init__(self, monkeypatch):
        self.asked: list[str] = []
        usage = {"prompt_tokens": 5, "completion_tokens": 2}
        self.says = lambda body: Answered(200, {"usage": usage, "model": body["model"]})
        monkeypatch.setattr(batch_answers, "answer", self.answer)

    async def answer(self, *, user, endpoint, body, model_names, token_id):
        self.asked.append(body["messages"][0]["content"])
        return self.says(body)


def create(program, rows, **more) -> dict:
    file = program.send(as_file(rows), purpose="batch", name="questions.jsonl")[1]
    body = {"input_file_id": file["id"], "endpoint": CHAT, "completion_window": "24h", **more}
    status, batch = program.post("batches", body)
    assert status == 200, batch
    return batch


def key_of(batch: dict) -> str:
    return str(uuid.UUID(batch["id"].removeprefix("batch_")))


def run(batch: dict) -> None:
    batch_running.run_batch(key_of(batch))


def rows_of(program, file_id: str) -> list[dict]:
    return [json.loads(line) for line in program.content(file_id).splitlines()]


def test_a_batch_stops_costing_where_the_budget_ends(
    alices, alice, nudges, embedded, tiny, settings, monkeypatch  # noqa: F811
):  # fmt: skip
    settings.EMBEDDED_URL, settings.BATCH_CONCURRENCY = embedded.url, 1
    make_base_model(tiny["base"])
    ServingPrice.objects.create(input_dollars=0, output_dollars=500_000)
    set_budget(owner=alice, limit=4)  # two answers of four tokens at half a dollar each
    batch = create(alices, [question(i, temperature=0) for i in range(3)])
    run(batch)
    done = alices.get(f"batches/{batch['id']}")[1]
    bad = rows_of(alices, done["error_file_id"])
    used = sum(line.money for line in UsageLine.objects.all())
    assert done["status"] == "completed" and used <= 4
    assert [row["response"]["status_code"] for row in bad] == [429] * len(bad)
    assert "left this month; this could cost up to $2.00" in bad[0]["response"]["body"]["error"]["message"]
    counter = Counter.objects.get()
    assert (counter.spent, counter.reserved) == (used * 10**9, 0) and not Reservation.objects.exists()
    told = Notice.objects.filter(text__contains=batch["id"]).get()
    assert told.owner == alice and told.text.startswith(f"{len(bad)} of 3 questions of batch_")


def test_a_question_waits_for_what_others_hold_of_its_budget_and_is_refused_after_an_hour(
    alices, alice, answers, settings
):
    settings.BATCH_CONCURRENCY = 2
    error = ApiError("All of it is held.", status=429, kind="insufficient_quota", code="insufficient_quota")

    def says(body):
        raise batch_answers.Held(batch_answers.refused(error))

    batch = create(alices, [question(i) for i in range(3)])
    good, answers.says = answers.says, says
    run(batch)
    assert alices.get(f"batches/{batch['id']}")[1]["status"] == "in_progress" and len(answers.asked) == 2
    answers.says = good
    run(batch)
    done = alices.get(f"batches/{batch['id']}")[1]
    assert done["request_counts"] == {"total": 3, "completed": 3, "failed": 0}

    late, answers.says = create(alices, [question(i) for i in range(3)]), says
    run(late)
    row = Batch.objects.get(pk=key_of(late))
    row.times["in_progress_at"] -= 3601
    row.save(update_fields=["times"])
    run(late)
    done = alices.get(f"batches/{late['id']}")[1]
    assert done["status"] == "completed" and done["request_counts"]["failed"] == 3
    bad = rows_of(alices, done["error_file_id"])
    assert [row["response"]["body"]["error"]["code"] for row in bad] == ["insufficient_quota"] * 3


def test_where_a_budget_has_room_for_one_at_a_time_they_are_answered_one_at_a_time(
    alices, answers, settings, monkeypatch
):
    settings.BATCH_CONCURRENCY = 4
    batch, held = create(alices, [question(i) for i in range(6)]), []
    error = ApiError("All of it is held.", status=429, kind="insufficient_quota", code="insufficient_quota")

    async def answer(*, user, endpoint, body, model_names, token_id):
        if held:
            raise batch_answers.Held(batch_answers.refused(error))
        held.append(body)
        await asyncio.sleep(0.01)
        held.pop()
        return answers.says(body)

    monkeypatch.setattr(batch_answers, "answer", answer)
    run(batch)
    done = alices.get(f"batches/{batch['id']}")[1]
    assert done["request_counts"] == {"total": 6, "completed": 6, "failed": 0}


def test_a_batch_is_answered_by_the_models_themselves(alices, alice, nudges, embedded, tiny, settings):  # noqa: F811
    settings.EMBEDDED_URL = embedded.url
    create_alias(owner=alice, name="gpt-4o-mini", base_model=make_base_model(tiny["base"]))
    rows = [question(i, temperature=0) for i in range(4)]
    rows += [
        question(4, model="gpt-4o-mini"),
        question(5, model="nope"),
        question(6, temperature=9),
        question(7, stream=True),
    ]
    batch = create(alices, rows, metadata={"k": "v"})
    assert (batch["object"], batch["status"], batch["metadata"]) == ("batch", "validating", {"k": "v"})
    assert batch["expires_at"] - batch["created_at"] == 24 * 3600 and nudges == [key_of(batch)]
    run(batch)
    done = alices.get(f"batches/{batch['id']}")[1]
    assert done["status"] == "completed", done
    assert done["request_counts"] == {"total": 8, "completed": 5, "failed": 3}
    assert done["in_progress_at"] <= done["finalizing_at"] <= done["completed_at"]
    good, bad = rows_of(alices, done["output_file_id"]), rows_of(alices, done["error_file_id"])
    assert [row["custom_id"] for row in good] == ["q0", "q1", "q2", "q3", "q4"]
    answer = good[4]["response"]
    assert (
        answer["status_code"] == 200 and answer["request_id"].startswith("req_") and good[4]["error"] is None
    )
    assert answer["body"]["object"] == "chat.completion" and answer["body"]["model"] == "gpt-4o-mini"
    assert answer["body"]["choices"][0]["message"]["role"] == "assistant"
    used = sum(row["response"]["body"]["usage"]["total_tokens"] for row in good)
    assert done["usage"]["total_tokens"] == used > 0
    assert [(row["custom_id"], row["response"]["status_code"]) for row in bad] == [
        ("q5", 404),
        ("q6", 400),
        ("q7", 400),
    ]
    assert bad[1]["response"]["body"]["error"]["param"] == "temperature"
    output = alices.get(f"files/{done['output_file_id']}")[1]
    assert (output["purpose"], output["filename"]) == ("batch_output", f"{batch['id']}_output.jsonl")
    assert not BatchAnswer.objects.exists()
    # The books have each as if it had been asked alone.
    uses = {use.reference: use for use in UsageLine.objects.all()}
    assert len(uses) == 8
    token = ApiToken.objects.get()
    for row in good + bad:
        use, answer = uses[row["response"]["request_id"]], row["response"]
        assert (use.status, use.owner, use.token_id) == (answer["status_code"], alice, token.public_id)
        assert use.activity == "chat" and use.latency_ms > 0 and use.adapter_id is None
        usage = answer["body"].get("usage", {})
        assert use.input_tokens == usage.get("prompt_tokens")
        assert use.output_tokens == usage.get("completion_tokens")
    assert {use.model for use in uses.values()} == {"tiny", "gpt-4o-mini", "nope"}
    assert all(row["response"]["x_apex_lineage"].startswith("base-model=") for row in good)


def test_texts_are_completed_in_a_batch_as_alone(alices, alice, embedded, tiny, settings):  # noqa: F811
    settings.EMBEDDED_URL = embedded.url
    adapter = make_adapter_row(alice, make_base_model(tiny["base"]), tiny["one"])
    asked = {
        "model": adapter.model_id,
        "prompt": ["Once", "Twice"],
        "max_tokens": 3,
        "temperature": 0,
        "logprobs": 1,
    }
    rows = [
        {"custom_id": "two", "method": "POST", "url": "/v1/completions", "body": asked},
        {"custom_id": "ids", "method": "POST", "url": "/v1/completions", "body": asked | {"prompt": [5, 6], "n": 2}},
        {"custom_id": "bad", "method": "POST", "url": "/v1/completions", "body": asked | {"suffix": "x"}},
        {"custom_id": "odd", "method": "POST", "url": "/v1/completions", "body": asked | {"messages": []}},
    ]  # fmt: skip
    batch = create(alices, rows, endpoint="/v1/completions")
    run(batch)
    done = alices.get(f"batches/{batch['id']}")[1]
    assert done["request_counts"] == {"total": 4, "completed": 2, "failed": 2}, done
    good, bad = rows_of(alices, done["output_file_id"]), rows_of(alices, done["error_file_id"])
    for row in good:
        body = row["response"]["body"]
        assert (body["object"], body["model"], len(body["choices"])) == (
            "text_completion",
            adapter.model_id,
            2,
        )
        assert all(choice["text"] and choice["logprobs"] for choice in body["choices"])
        assert row["response"]["x_apex_lineage"] == (
            f"adapter={adapter.pk}; job={adapter.job_id}; dataset-version={adapter.dataset_version_id}"
        )
    assert [row["response"]["body"]["error"]["param"] for row in bad] == ["suffix", "messages"]
    assert {(use.activity, use.adapter_id) for use in UsageLine.objects.all()} == {
        ("completions", adapter.pk)
    }
    assert done["usage"]["output_tokens"] == sum(
        row["response"]["body"]["usage"]["completion_tokens"] for row in good
    )


def test_what_no_database_keeps_is_kept_out_of_an_answer():
    said = {"a": ["x\0y", {"b": "\ud800"}], "n": 1, "t": True}
    assert batch_answers.storable(said) == {"a": ["x\ufffdy", {"b": "?"}], "n": 1, "t": True}


def test_a_file_with_a_bad_line_fails_as_a_whole_and_names_the_lines(alices, answers):
    good = question(0)
    rows = [
        good, "", "no json", good, question(1) | {"method": "GET"}, question(2) | {"url": "/v1/embeddings"},
        {"custom_id": "x"}, question(3) | {"body": []}, "[]",
        '{"custom_id": "\\ud800"}', question(4) | {"custom_id": 7},
    ]  # fmt: skip
    batch = create(alices, rows)
    run(batch)
    failed = alices.get(f"batches/{batch['id']}")[1]
    assert failed["status"] == "failed" and failed["failed_at"] and "output_file_id" not in failed
    found = [(error["line"], error["code"]) for error in failed["errors"]["data"]]
    assert found == [
        (3, "invalid_json_line"), (4, "duplicate_custom_id"), (5, "invalid_method"), (6, "mismatched_url"),
        (7, "missing_required_parameter"), (8, "invalid_body"), (9, "invalid_json_line"), (10, "invalid_json_line"),
        (11, "invalid_custom_id"),
    ]  # fmt: skip
    assert not answers.asked
    empty = create(alices, ["", " "])
    run(empty)
    assert alices.get(f"batches/{empty['id']}")[1]["errors"]["data"][0]["code"] == "empty_file"


def test_a_worker_that_is_killed_costs_no_row_and_doubles_none(alices, answers, settings, monkeypatch):
    settings.BATCH_CONCURRENCY = 1
    batch = create(alices, [question(i) for i in range(6)])

    class Killed(BaseException):
        pass

    real, kept = batch_running.keep, []

    def dying(*arguments):
        if len(kept) == 3:
            raise Killed
        kept.append(arguments)
        real(*arguments)

    monkeypatch.setattr(batch_running, "keep", dying)
    # A process that is killed lets go of nothing.
    claims = []
    real_claim = batch_running.claim
    monkeypatch.setattr(batch_running, "claim", lambda key: claims.append(real_claim(key)) or claims[-1])
    with pytest.raises(Killed):
        run(batch)
    Batch.objects.update(attempt=claims[0], heartbeat_at=timezone.now())
    monkeypatch.setattr(batch_running, "keep", real)
    assert alices.get(f"batches/{batch['id']}")[1]["request_counts"] == {
        "total": 6,
        "completed": 3,
        "failed": 0,
    }
    run(batch)  # the dead one seems to be at work still
    assert len(answers.asked) == 4
    Batch.objects.update(heartbeat_at=timezone.now() - timedelta(minutes=5))
    run(batch)
    done = alices.get(f"batches/{batch['id']}")[1]
    assert done["status"] == "completed" and done["request_counts"] == {
        "total": 6,
        "completed": 6,
        "failed": 0,
    }
    assert [row["custom_id"] for row in rows_of(alices, done["output_file_id"])] == [
        f"q{i}" for i in range(6)
    ]
    assert len(answers.asked) == 7 and done["usage"]["input_tokens"] == 30
    assert UsageLine.objects.count() == 6
    with pytest.raises(batch_running.LostHold):
        batch_running.keep(*kept[0])  # one back from the dead
    assert ApiFile.objects.filter(purpose="batch_output").count() == 1


def test_a_slice_ends_in_time_and_the_next_goes_on(alices, answers, nudges, settings, monkeypatch):
    settings.BATCH_CONCURRENCY = 2
    monkeypatch.setattr(batch_running, "SLICE_SECONDS", -1)
    batch = create(alices, [question(i) for i in range(3)])
    run(batch)
    assert nudges == [key_of(batch)] * 2 and not answers.asked
    monkeypatch.setattr(batch_running, "SLICE_SECONDS", 600)
    run(batch)
    assert alices.get(f"batches/{batch['id']}")[1]["status"] == "completed" and len(nudges) == 2


def test_where_nobody_can_answer_it_waits_and_the_sweep_goes_on(alices, answers, nudges, monkeypatch):
    async def away(*, user, endpoint, body, model_names, token_id):
        raise batch_answers.Later("nobody is there")

    batch = create(alices, [question(0)])
    with monkeypatch.context() as without:
        without.setattr(batch_answers, "answer", away)
        run(batch)
    assert alices.get(f"batches/{batch['id']}")[1]["status"] == "in_progress" and len(nudges) == 1
    sweeping.sweep()
    assert len(nudges) == 2
    run(batch)
    assert alices.get(f"batches/{batch['id']}")[1]["status"] == "completed"


def test_what_may_pass_is_asked_again_and_a_refusal_is_not(alices, alice, monkeypatch, tmp_path):
    make_base_model(tmp_path)

    class Backend:
        abilities = frozenset({Ability.CHAT})

        def __init__(self, problem):
            self.problem = problem

        async def forward(self, path, body):
            raise self.problem

    for problem in (
        BackendUnavailable("away"),
        ApiError("full", status=503),
        ApiError("slow down", status=429),
    ):
        monkeypatch.setattr("serving.services.backend_for", lambda target, problem=problem: Backend(problem))
        with pytest.raises(batch_answers.Later):
            ask(alice)
    monkeypatch.setattr(
        "serving.services.backend_for", lambda target: Backend(ApiError("too long", code="context"))
    )
    assert (ask(alice).status, ask(alice).body["error"]["code"]) == (400, "context")


def ask(user):
    return async_to_sync(batch_answers.answer)(user=user, endpoint=CHAT, body=question(0)["body"])


def test_when_its_time_is_over_every_row_says_what_became_of_it(alices, answers, settings):
    settings.BATCH_CONCURRENCY = 1
    batch = create(alices, [question(i) for i in range(3)])
    key = key_of(batch)
    row = Batch.objects.get(pk=key)
    token = batch_running.claim(key)
    batch_running.begin(row, stored_files.local_path(row.input_sha256))
    first = next(batch_running.batch_reading.questions(stored_files.local_path(row.input_sha256)))
    batch_running.keep(row, token, first, Answered(200, {}), 0.1)
    Batch.objects.update(expires_at=timezone.now() - timedelta(seconds=1), attempt=None, heartbeat_at=None)
    run(batch)
    over = alices.get(f"batches/{batch['id']}")[1]
    assert over["status"] == "expired" and over["expired_at"]
    assert over["request_counts"] == {"total": 3, "completed": 1, "failed": 2}
    assert [row["custom_id"] for row in rows_of(alices, over["output_file_id"])] == ["q0"]
    errors = rows_of(alices, over["error_file_id"])
    assert [(row["custom_id"], row["response"], row["error"]["code"]) for row in errors] == [
        ("q1", None, "batch_expired"), ("q2", None, "batch_expired"),
    ]  # fmt: skip


def test_a_batch_is_cancelled_and_keeps_what_was_answered(alices, answers, nudges, settings):
    settings.BATCH_CONCURRENCY = 1
    batch = create(alices, [question(i) for i in range(5)])
    real = answers.says

    def cancelling(body):
        if len(answers.asked) == 2:
            raise batch_answers.Later("stop here")
        return real(body)

    answers.says = cancelling
    run(batch)
    cancelled = alices.post(f"batches/{batch['id']}/cancel")[1]
    assert cancelled["status"] == "cancelling" and cancelled["cancelling_at"] and len(nudges) == 2
    run(batch)
    done = alices.get(f"batches/{batch['id']}")[1]
    assert done["status"] == "cancelled" and done["request_counts"] == {
        "total": 5,
        "completed": 1,
        "failed": 4,
    }
    assert {row["error"]["code"] for row in rows_of(alices, done["error_file_id"])} == {"batch_cancelled"}
    status, answer = alices.post(f"batches/{batch['id']}/cancel")
    assert (status, answer["error"]["code"]) == (400, "invalid_batch_status")


def test_a_batch_that_was_never_begun_is_cancelled_without_files(alices, answers):
    batch = create(alices, [question(0)])
    alices.post(f"batches/{batch['id']}/cancel")
    run(batch)
    done = alices.get(f"batches/{batch['id']}")[1]
    assert done["status"] == "cancelled" and "error_file_id" not in done and not answers.asked


def test_its_file_may_be_deleted_while_it_waits(alices, answers):
    batch = create(alices, [question(0)])
    assert alices.delete(f"files/{batch['input_file_id']}")[0] == 200
    run(batch)
    done = alices.get(f"batches/{batch['id']}")[1]
    assert done["status"] == "completed" and done["input_file_id"] == batch["input_file_id"]


def test_one_batch_is_at_work_at_a_time(alices, answers):
    first, second = create(alices, [question(0)]), create(alices, [question(0)])
    Batch.objects.filter(pk=key_of(first)).update(attempt=uuid.uuid4(), heartbeat_at=timezone.now())
    run(second)
    assert alices.get(f"batches/{second['id']}")[1]["status"] == "validating"


def test_its_files_expire_when_asked_to(alices, answers):
    batch = create(alices, [question(0)], output_expires_after={"anchor": "created_at", "seconds": 3600})
    run(batch)
    done = alices.get(f"batches/{batch['id']}")[1]
    output = alices.get(f"files/{done['output_file_id']}")[1]
    assert 3590 <= output["expires_at"] - output["created_at"] <= 3600


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"input_file_id": "file-nope"}, "input_file_id"),
        ({"input_file_id": None}, "input_file_id"),
        ({"endpoint": "/v1/images"}, "endpoint"),
        ({"endpoint": 3}, "endpoint"),
        ({"completion_window": "1h"}, "completion_window"),
        ({"metadata": []}, "metadata"),
        ({"output_expires_after": {"anchor": "x", "seconds": 3600}}, "output_expires_after.anchor"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_bad_wish_is_refused_by_name(alices, change, param):
    file = alices.send(as_file([question(0)]), purpose="batch")[1]["id"]
    body = {"input_file_id": file, "endpoint": CHAT, "completion_window": "24h"} | change
    status, answer = alices.post("batches", body)
    assert (status, answer["error"]["param"]) == (400, param)
    assert not Batch.objects.exists()


def test_a_strangers_batch_and_a_missing_one_are_the_same(alices, mallorys):
    batch = create(alices, [question(0)])
    for each in (batch["id"], "batch_" + "0" * 32, "batch_x"):
        assert mallorys.get(f"batches/{each}")[0] == 404
        assert mallorys.post(f"batches/{each}/cancel")[0] == 404
    assert mallorys.get("batches")[1]["data"] == []
    body = {"input_file_id": batch["input_file_id"], "endpoint": CHAT, "completion_window": "24h"}
    assert mallorys.post("batches", body)[1]["error"]["param"] == "input_file_id"
    assert [one["id"] for one in alices.get("batches")[1]["data"]] == [batch["id"]]


def test_a_batch_needs_a_token_that_may_chat(alice, alices):
    batch = create(alices, [question(0)])
    writer = Program(alice, scopes=["read", "write"])
    assert writer.post("batches", {})[0] == 403 and writer.get(f"batches/{batch['id']}")[0] == 200


def test_a_token_for_some_models_asks_no_others_by_a_batch(alices, alice, embedded, tiny, settings):  # noqa: F811
    settings.EMBEDDED_URL = embedded.url
    make_base_model(tiny["base"])
    ApiToken.objects.update(model_names=["another"])
    batch = create(alices, [question(0)])
    run(batch)
    done = alices.get(f"batches/{batch['id']}")[1]
    row = rows_of(alices, done["error_file_id"])[0]["response"]
    assert (row["status_code"], row["body"]["error"]["code"]) == (403, "model_not_allowed")


def test_a_batch_of_somebody_who_is_shut_out_is_not_answered(alices, alice, answers, nudges):
    batch = create(alices, [question(i) for i in range(3)])
    alice.is_active = False
    alice.save()
    run(batch)
    run(batch)
    assert not answers.asked
    assert Batch.objects.get(pk=key_of(batch)).status == "cancelled"


def test_who_is_shut_out_while_a_batch_is_answered_finds_in_its_errors_why_the_rest_was_not(
    alices, alice, answers
):
    batch = create(alices, [question(i) for i in range(3)])
    key = key_of(batch)
    row = Batch.objects.get(pk=key)
    token = batch_running.claim(key)
    batch_running.begin(row, stored_files.local_path(row.input_sha256))
    first = next(batch_running.batch_reading.questions(stored_files.local_path(row.input_sha256)))
    batch_running.keep(row, token, first, Answered(200, {}), 0.1)
    Batch.objects.update(attempt=None, heartbeat_at=None)
    type(alice).objects.update(is_active=False)
    run(batch)
    type(alice).objects.update(is_active=True)  # to read it
    over = alices.get(f"batches/{batch['id']}")[1]
    assert over["status"] == "cancelled" and not answers.asked
    assert over["request_counts"] == {"total": 3, "completed": 1, "failed": 2}
    errors = rows_of(alices, over["error_file_id"])
    assert [(row["custom_id"], row["error"]["code"]) for row in errors] == [
        ("q1", "batch_cancelled"), ("q2", "batch_cancelled"),
    ]  # fmt: skip
    assert "the account that sent it was deactivated" in errors[0]["error"]["message"]
