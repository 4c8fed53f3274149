"""The calls that pages show: pasted into a shell they do what they say."""

import json
import shlex

import pytest
from django.test import RequestFactory

from apex.common.calls import curl


@pytest.fixture
def request_():
    return RequestFactory().get("/somewhere/")


def test_a_call_is_an_address_and_the_token(request_):
    shown = curl(request_, "/api/v1/datasets/", more="-F file=@letters.jsonl")
    assert shown == (
        "curl http://testserver/api/v1/datasets/ \\\n"
        '  -H "Authorization: Bearer $APEX_TOKEN" \\\n'
        "  -F file=@letters.jsonl"
    )


def test_what_is_sent_and_asked_for_stays_text_in_a_shell(request_):
    said = {"question": "When's the gate open? $(touch /tmp/x) `id`"}
    shown = curl(request_, "/api/v1/x/?a=1&b=$HOME;id", send=said, options="-OJ")
    words = shlex.split(shown.replace("\\\n", " "))
    assert words[:3] == ["curl", "-OJ", "http://testserver/api/v1/x/?a=1&b=$HOME;id"]
    assert "'http://testserver/api/v1/x/?a=1&b=$HOME;id'" in shown  # in quotes that keep everything as it is
    assert json.loads(words[words.index("--json") + 1]) == said


def test_a_call_may_send_an_empty_object(request_):
    assert curl(request_, "/api/v1/x/", send={}).endswith("--json '{}'")
