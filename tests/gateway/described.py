"""Requests drawn from a description of an API (OpenAPI), sent to a running server, and answers held against it.

`draw_and_send` sends good and bad requests to every call. `SCHEMA_EXAMPLES=500 pytest tests/gateway/test_described.py`
draws more than a test run does.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable

import requests
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.core.failures import FailureGroup

EXAMPLES = int(os.environ.get("SCHEMA_EXAMPLES", "4"))
CHANGES_LAST = {"GET": 0, "POST": 1, "PUT": 1, "PATCH": 1, "DELETE": 2}


def draw_and_send(
    schema,
    url: str,
    token: str,
    *,
    checks: list,
    tailor: Callable[[Case, bool], None],
    examples: int = EXAMPLES,
) -> tuple[Counter, list[str]]:
    """`(answers by status, what was wrong with some, as text)`. `tailor(case, is_real)` may name things that exist.

    `examples`: requests for each call, as many good ones as bad ones.
    """
    found: Counter = Counter()
    faults: list[str] = []
    session = requests.Session()
    headers = {"authorization": f"Bearer {token}"}
    operations = [result.ok() for result in schema.get_all_operations()]
    for operation in sorted(operations, key=lambda one: CHANGES_LAST.get(one.method.upper(), 1)):
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):

            @settings(
                max_examples=examples,
                deadline=None,
                database=None,
                derandomize=EXAMPLES < 20,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @given(case=operation.as_strategy(generation_mode=mode), is_real=st.booleans())
            def send(case: Case, is_real: bool) -> None:
                tailor(case, is_real)
                try:
                    answer = case.call(base_url=url, session=session, headers=headers, timeout=60)
                except (requests.exceptions.InvalidHeader, requests.exceptions.InvalidURL, UnicodeError):
                    return  # what no client can send
                found[answer.status_code] += 1
                case.validate_response(answer, checks=checks)

            try:
                send()
            except (FailureGroup, ExceptionGroup) as problem:
                faults.append(f"{operation.method.upper()} {operation.path}: {told(problem)}")
            except Exception as problem:
                if type(problem).__name__ in ("Unsatisfiable", "SkipTest", "Skipped"):
                    continue  # this call cannot be asked in a wrong way
                faults.append(
                    f"{operation.method.upper()} {operation.path}: {type(problem).__name__}: {str(problem)[:1500]}"
                )
    return found, faults


def without_keys(described: dict) -> dict:
    """The description without what it says of keys, as we send our own with every request."""
    described.pop("security", None)
    described.get("components", {}).pop("securitySchemes", None)
    for calls in described["paths"].values():
        for call in calls.values():
            if isinstance(call, dict):
                call.pop("security", None)
    return described


def told(group: BaseException) -> str:
    return " | ".join(str(each)[:1500] for each in getattr(group, "exceptions", [group]))
