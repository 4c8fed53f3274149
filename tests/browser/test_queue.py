"""A training is paused and goes on, and the queue says what waits and why: in a real browser, on a real stack."""

import json
import uuid
from pathlib import Path

import pytest

from base_models.demo.dataset import dataset_rows
from tests.browser.test_journey import once_ready, sign_up
from tests.flows.client import Api

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
def api(page, stack):
    """A person who is signed in, and may call too; everything of theirs is stopped at the end."""
    name = f"paula-{uuid.uuid4().hex[:6]}"
    sign_up(page, name)
    caller = Api(stack, name)
    text = "\n".join(json.dumps(row) for row in dataset_rows())
    status, dataset = caller.upload("Guide", Path("guide.jsonl"), text.encode())
    assert status == 201, dataset
    caller.dataset = dataset["id"]
    yield caller
    for job in caller.call("GET", "/api/v1/training/jobs/")[1]["results"]:
        caller.call("POST", f"/api/v1/training/jobs/{job['id']}/cancel/")


def test_pausing_going_on_and_the_queue(page, api):
    first = api.train("Harbour guide", api.dataset, epochs=100, min_steps=5000)
    second = api.train("Second guide", api.dataset, epochs=100, min_steps=5000)
    api.wait(first["id"], lambda job: job["step"] >= 2)

    # 1. The queue: what runs, and why the other waits
    page.goto("/training/")
    page.get_by_role("main").get_by_role("link", name="Queue").click()
    once_ready(page, page.get_by_role("heading", name="Learning now"))
    page.get_by_text("It is next; every device that suits it is busy.").wait_for()

    # 2. The second rests, and waits again, without leaving the page
    page.get_by_role("button", name="Pause Second guide").click()
    page.get_by_role("button", name="Let Second guide go on").click()
    page.get_by_role("button", name="Pause Second guide").click()
    page.get_by_role("heading", name="Paused").wait_for()
    assert api.job(second["id"])["status"] == "paused"

    # 3. The first saves where it is and rests; the page follows by itself
    page.get_by_role("link", name="Harbour guide").click()
    once_ready(page, page.get_by_role("button", name="Pause…"))
    page.get_by_role("button", name="Pause…").click()
    page.get_by_role("button", name="Pause it").click()
    page.get_by_role("heading", name="Harbour guide is paused").wait_for(timeout=60_000)
    page.get_by_text("is saved, and it goes on from there.").wait_for()
    step = api.job(first["id"])["step"]

    # 4. It goes on from there
    page.get_by_role("button", name="Let it go on").click()
    page.get_by_role("heading", name="Harbour guide is learning").wait_for(timeout=60_000)
    api.wait(first["id"], lambda job: job["step"] > step)
    page.locator("summary", has_text="History").click()
    page.reload()
    page.locator("summary", has_text="History").click()
    page.get_by_text(f"Going on from step {step} of").wait_for()
