"""What OpenAI's description of its API promises, and what ours does: no request breaks the server, shapes are right."""

import json
from pathlib import Path

import pytest
import yaml
from celery import current_app
from schemathesis import openapi
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance

from accounts.services import create_token
from tests.gateway.described import EXAMPLES, draw_and_send, without_keys
from tests.gateway.openai_client import ROWS, Program, lines
from tests.training.conftest import base_model as tiny_model  # noqa: F401 - a fixture
from tests.training.conftest import device, sent  # noqa: F401 - fixtures

ROOT = Path(__file__).parents[2]
OPENAI = ROOT / "tests" / "data" / "openai" / "openai-openapi.subset.json"
OURS = ROOT / "docs" / "api-schema.yml"
pytestmark = pytest.mark.timeout(900)  # seconds are enough, except beside much else
# Described by OpenAI, not there: large files come by /api/v1/uploads/.
NOT_THERE = ("/uploads",)
ASKED = ("/chat/", "/completions", "/embeddings")


@pytest.fixture
def token(alice):
    return create_token(user=alice, name="described")[1]


def part_of_openais(holds) -> dict:
    """The description with those paths of which `holds` is true."""
    described = json.loads(OPENAI.read_text())
    described["paths"] = {path: calls for path, calls in described["paths"].items() if holds(path)}
    # A file may be sent for evals, and the file that comes back may not be one of evals: they contradict themselves.
    described["components"]["schemas"]["OpenAIFile"]["properties"]["purpose"]["enum"].append("evals")
    return without_keys(described)


CHECKS = [not_a_server_error, status_code_conformance, response_schema_conformance]


@pytest.mark.usefixtures("tiny_model", "device", "sent")
def test_openais_files_jobs_and_batches_hold(bare_site, token, alice, monkeypatch, settings):
    monkeypatch.setattr(current_app, "send_task", lambda *a, **k: None)
    settings.ALLOWED_HOSTS = ["127.0.0.1", "testserver"]
    program = Program(alice)
    file = program.send(lines(ROWS))[1]["id"]
    questions = program.send(b"{}\n", purpose="batch")[1]["id"]
    asked = {"input_file_id": questions, "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    ids = {
        "file_id": file, "training_file": file, "input_file_id": questions, "model": "tiny",
        "fine_tuning_job_id": program.post("fine_tuning/jobs", {"model": "tiny", "training_file": file})[1]["id"],
        "batch_id": program.post("batches", asked)[1]["id"],
    }  # fmt: skip

    def tailor(case, is_real: bool) -> None:
        if not is_real:
            return
        for name in case.path_parameters or {}:
            case.path_parameters[name] = ids[name]
        if isinstance(case.body, dict):
            case.body |= {name: ids[name] for name in ids if name in case.body}

    described = part_of_openais(lambda path: not path.startswith((*NOT_THERE, *ASKED)))
    answered, faults = draw_and_send(
        openapi.from_dict(described), f"{bare_site}/v1", token, checks=CHECKS, tailor=tailor
    )
    print(dict(answered))
    assert not faults, "\n\n".join(faults)
    assert answered[200] >= 10 and answered[400] >= 10 and answered[404] >= 5 and not answered[401]


def test_openais_questions_to_models_hold(site, token, base_model):
    def tailor(case, is_real: bool) -> None:
        if is_real and isinstance(case.body, dict):
            case.body["model"] = "tiny"
            case.body.pop("max_completion_tokens", None)
            case.body["max_tokens"] = 2

    described = part_of_openais(lambda path: path.startswith(ASKED))
    answered, faults = draw_and_send(
        openapi.from_dict(described), f"{site}/v1", token, checks=CHECKS, tailor=tailor
    )
    print(dict(answered))
    assert not faults, "\n\n".join(faults)
    assert answered[400] >= 3 and answered[404] >= 1


def test_our_own_description_holds(bare_site, token, alice):  # noqa: F811
    described = yaml.safe_load(OURS.read_text())
    # Their bodies are bytes of a kind that nobody draws; test_uploads.py and test_fuzzing.py send them.
    described["paths"] = {
        path: calls for path, calls in described["paths"].items() if "/uploads/" not in path
    }
    answered, faults = draw_and_send(
        openapi.from_dict(without_keys(described)), bare_site, token,
        checks=[not_a_server_error, response_schema_conformance], tailor=lambda case, is_real: None,
        examples=max(1, EXAMPLES // 4),  # there are five times as many calls
    )  # fmt: skip
    print(dict(answered))
    assert not faults, "\n\n".join(faults)
    assert answered[200] >= 10 and sum(answered.values()) > 100
