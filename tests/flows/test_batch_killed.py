"""A batch whose worker is killed on a whole running Apex: it goes on, and each question is answered exactly once."""

import json
import os
import signal

import pytest

from tests.flows.client import Api
from tests.flows.test_openai_scripts import client_of

pytestmark = [pytest.mark.stack, pytest.mark.slow]
COUNT = 40


def line(number: int) -> str:
    messages = [{"role": "user", "content": f"What is the capital of country {number}?"}]
    body = {"model": "apex-demo", "messages": messages, "max_tokens": 60, "temperature": 1}
    asked = {"custom_id": f"q{number}", "method": "POST", "url": "/v1/chat/completions", "body": body}
    return json.dumps(asked) + "\n"


def used(stack, username: str) -> dict:
    """What the books say that this person asked, counted."""
    said = stack.manage(
        "shell", "-v0", "-c",
        "import json; from django.db.models import Count, Sum; from ledger.models import UsageLine; "
        f"print(json.dumps(UsageLine.objects.filter(owner__username='{username}', status=200)"
        ".aggregate(rows=Count('pk'), tokens=Sum('output_tokens'))))",
    )  # fmt: skip
    return json.loads(said)


def test_a_batch_whose_worker_is_killed_ends_with_every_question_answered_once(stack):
    client = client_of(stack, "flow-batch")
    content = "".join(line(number) for number in range(COUNT)).encode()
    file = client.files.create(file=("questions.jsonl", content), purpose="batch")
    batch = client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
    )

    def counts():
        return client.batches.retrieve(batch.id).request_counts

    stack.wait_until(lambda: counts().completed >= 3, "the first answers")
    os.kill(stack.pid("worker-default"), signal.SIGKILL)
    assert counts().completed < COUNT, "it was through before it could be killed"
    stack.wait_until(lambda: client.batches.retrieve(batch.id).status == "completed", "the batch to end", 90)
    done = client.batches.retrieve(batch.id)
    assert (done.request_counts.total, done.request_counts.completed, done.request_counts.failed) == (
        COUNT,
        COUNT,
        0,
    )
    assert done.error_file_id is None
    answers = [json.loads(row) for row in client.files.content(done.output_file_id).text.splitlines()]
    assert [row["custom_id"] for row in answers] == [f"q{number}" for number in range(COUNT)]
    assert len({row["response"]["request_id"] for row in answers}) == COUNT
    written = sum(row["response"]["body"]["usage"]["completion_tokens"] for row in answers)
    assert used(stack, "flow-batch") == {"rows": COUNT, "tokens": written}
    assert Api(stack, "flow-batch-other").call("GET", f"/v1/batches/{batch.id}")[0] == 404
