"""Two trainings are ticked in the list and laid on one chart, with what differs: in a real browser, on a real stack."""

import json
import uuid
from pathlib import Path

import pytest

from base_models.demo.dataset import dataset_rows
from tests.browser.test_journey import once_ready, sign_up
from tests.flows.client import Api

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.timeout(600)]


def test_two_trainings_are_compared_on_one_chart(page, stack):
    name = f"cora-{uuid.uuid4().hex[:6]}"
    sign_up(page, name)
    api = Api(stack, name)
    text = "\n".join(json.dumps(row) for row in dataset_rows())
    status, dataset = api.upload("Guide", Path("guide.jsonl"), text.encode())
    assert status == 201, dataset
    short = {"max_steps": 12, "eval_steps": 4, "sample_count": 0}
    for title, rate in (("Calm", 1e-4), ("Bold", 1e-3)):
        job = api.train(title, dataset["id"], learning_rate=rate, **short)
        api.wait(job["id"], lambda job: job["status"] == "succeeded")

    # 1. Ticked in the list
    page.goto("/training/")
    page.get_by_role("checkbox", name="Compare Calm").check()
    page.get_by_role("checkbox", name="Compare Bold").check()
    page.get_by_role("button", name="Compare the ticked ones").click()
    once_ready(page, page.get_by_role("heading", name="Compare trainings"))

    # 2. One chart, each line with its name
    chart = page.locator(".chart-compare svg")
    chart.locator("path").nth(1).wait_for()
    assert {"Calm", "Bold"} <= {
        word for text in chart.locator("text").all_text_contents() for word in text.split()
    }

    # 3. What differs, and nothing else until it is asked for
    table = page.locator(".compare-table")
    assert table.get_by_text("0.001", exact=True).is_visible()
    assert table.get_by_text("lowest").first.is_visible()
    assert not table.locator("tr.same").first.is_visible()
    page.get_by_label("also what is the same").check()
    assert table.locator("tr.same").first.is_visible()

    # 4. Another series, by tokens
    page.locator("select[name=series]").select_option("learning_rate")
    page.locator("select[name=by]").select_option("tokens")
    page.get_by_role("button", name="Draw").click()
    chart.locator("path").nth(1).wait_for()
    assert "series=learning_rate" in page.url and "by=tokens" in page.url
