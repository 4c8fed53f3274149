"""What several subjects need of a running Apex: a person with a token, a dataset, timed calls."""

import http.client
import json
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from base_models.demo.dataset import dataset_rows
from tests.stack import Stack

MAKE_PERSON = """
from accounts.models import User
from accounts.services import create_token
from datasets_app.services import create_dataset
user = User.objects.create_user("bench", password="x")
version = create_dataset(owner=user, name="Bench", text=open({path!r}).read())
print(create_token(user=user, name="bench", scopes=["read", "write", "chat"])[1], version.dataset_id)
"""


def make_person(stack: Stack) -> tuple[str, str]:
    """A person with the demo dataset; returns their token and the dataset's id."""
    path = stack.data / "bench.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in dataset_rows()))
    said = stack.manage("shell", "-v0", "-c", MAKE_PERSON.format(path=str(path))).split()
    return said[0], said[1]


def call(port: int, method: str, path: str, token: str, body: dict | None = None) -> dict:
    """One call on a connection of its own, as a script makes it; the parsed answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    connection.request(method, path, body=json.dumps(body) if body is not None else None, headers=headers)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    assert answer.status < 300, f"{method} {path}: {answer.status} {content[:300]!r}"
    return json.loads(content) if content else {}


def timed(calls: int, at_once: int, act: Callable[[], object]) -> list[float]:
    """Seconds of each of `calls` calls of `act`, `at_once` of them side by side."""

    def one(_number: int) -> float:
        begun = time.perf_counter()
        act()
        return time.perf_counter() - begun

    with ThreadPoolExecutor(at_once) as pool:
        return list(pool.map(one, range(calls)))


def percentile(values: list[float], per_cent: int) -> float:
    """The value that `per_cent` per cent of `values` do not exceed."""
    if per_cent == 50:
        return statistics.median(values)
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(per_cent / 100 * (len(ordered) - 1)))]
