"""What a training knows on the way is tried in the browser and kept, while it goes on learning."""

import uuid
from pathlib import Path

import pytest

from tests.browser.test_journey import PASSWORD, ask_both, once_ready
from tests.flows.client import Api

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.timeout(600)]
DEMO = Path(__file__).parents[2] / "datasets_app" / "demo" / "harbour-guide.jsonl"
QUESTION = "What is the capital of Spain?"


def sign_in(page, name: str) -> None:
    page.goto("/accounts/login/")
    page.locator("input[name=login]").fill(name)
    page.locator("input[name=password]").fill(PASSWORD)
    page.locator("main form button.button-primary, main form button[type=submit]").first.click()
    page.wait_for_url("**/")


def test_a_checkpoint_is_tried_and_kept_while_its_training_runs(page, stack):
    name = f"otto-{uuid.uuid4().hex[:6]}"
    api = Api(stack, name)
    api.upload("Harbour", DEMO)
    job = api.train("Guide", "Harbour", min_steps=2000, max_steps=2000, eval_steps=40)
    sign_in(page, name)

    # The page shows the first checkpoint by itself, and what it writes by then
    page.goto(f"/training/{job['id']}/")
    page.locator("#checkpoints summary").click()
    page.get_by_role("link", name="Try it").first.wait_for(timeout=240_000)
    assert page.locator(".sample").count() == 2
    assert page.locator(".sample").first.get_by_text("Your examples").is_visible()

    # Beside its base
    page.get_by_role("link", name="Try it").first.click()
    base, tuned = ask_both(page, QUESTION)
    assert base and tuned and base != tuned

    # Kept: an adapter of its own, while the training goes on
    page.get_by_role("button", name="Keep this checkpoint").click()
    once_ready(page, page.get_by_text("is kept. Programs call it"))
    assert page.get_by_role("heading", name="is learning").is_visible()
    kept = page.locator("#checkpoints code").first.inner_text()
    assert ":ckpt-step-" in kept
    body = {"model": kept, "messages": [{"role": "user", "content": QUESTION}], "temperature": 0}
    status, answer = api.call("POST", "/v1/chat/completions", body)
    assert status == 200 and answer["choices"][0]["message"]["content"]

    # Let go again
    page.get_by_role("button", name="Delete…").click()
    page.get_by_role("button", name="Delete it").click()
    page.get_by_text("is deleted").wait_for()
    _status, models = api.call("GET", "/v1/models")
    assert kept not in [model["id"] for model in models["data"]]
    api.call("POST", f"/api/v1/training/jobs/{job['id']}/cancel/")
