"""What children are told of the environment: no password, no key."""

import re
import sys

import pytest
from django.conf import settings

from apex.common.children import SECRETS, without_secrets
from serving.exports import execution
from serving.vllm_command import VllmServer
from training import child

LOOKS_SECRET = re.compile(r"\b[A-Z_]+_(?:PASSWORD|KEY|KEYS|TOKEN)\b")


@pytest.fixture
def secrets(monkeypatch) -> set[str]:
    """All are set here."""
    for name in SECRETS:
        monkeypatch.setenv(name, "very-secret")
    return set(SECRETS)


def test_every_secret_that_the_house_is_given_is_known():
    files = ("docker-compose.yml", ".env.example", "docs/operations.md")
    named = {name for file in files for name in LOOKS_SECRET.findall((settings.BASE_DIR / file).read_text())}
    named.remove("VLLM_API_KEY")  # what a vLLM asks its callers for
    assert {"APEX_EMAIL_HOST_PASSWORD", "APEX_SECRET_KEY"} <= named <= SECRETS


def test_a_training_is_told_none(secrets, tmp_path, monkeypatch):
    says = "import json, os; print(json.dumps({'event': 'told', 'environment': dict(os.environ)}))"
    monkeypatch.setattr(child, "ENGINE", [sys.executable, "-c", says])
    with child.EngineChild({}, folder=tmp_path, queues=[]) as engine:
        told = engine.next_event(timeout=20)["environment"]
    assert "PATH" in told and not secrets & set(told)


def test_what_makes_exports_and_a_vllm_of_ours_are_told_none(secrets, tmp_path):
    assert not secrets & set(execution.environment(tmp_path))
    told = VllmServer(tmp_path, tmp_path, "demo", api_key="its-own").environment()
    assert "PATH" in told and not secrets & set(told) and told["VLLM_API_KEY"] == "its-own"


def test_the_rest_is_left():
    assert without_secrets({"PATH": "/bin", "HF_TOKEN": "hf_x"}) == {"PATH": "/bin"}
