"""One question to several models at once, in a real browser: columns, settings, clear, code; also on a phone."""

import uuid

import pytest

from tests.browser.test_journey import sign_up

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.timeout(600)]


def ask(page, question: str) -> None:
    """By keyboard; returns when every column has ended."""
    page.get_by_label("Ask them all the same thing").fill(question)
    page.keyboard.press("Enter")
    page.get_by_role("status").filter(has_text="All have answered.").wait_for(timeout=180_000)


def test_several_models_are_asked_side_by_side(page):
    sign_up(page, f"pia-{uuid.uuid4().hex[:6]}")
    page.get_by_role("navigation", name="Main").get_by_role("link", name="Playground").click()
    columns = page.locator("[data-answers] article")
    columns.first.wait_for()
    assert columns.count() == 1 and not page.get_by_role("button", name="Remove this column").is_visible()

    # 1. Up to four, which the address remembers
    for _ in range(3):
        page.get_by_role("button", name="Add a model").click()
    assert columns.count() == 4 and not page.get_by_role("button", name="Add a model").is_visible()
    page.get_by_role("button", name="Remove this column").first.click()
    page.get_by_role("button", name="Remove this column").first.click()
    page.reload()
    columns.first.wait_for()
    assert columns.count() == 1 and "model=apex-demo" in page.url  # the same model is named once

    # 2. An answer with its figures and where it comes from
    page.get_by_role("button", name="Add a model").click()
    page.get_by_text("Settings", exact=False).locator("visible=true").filter(has_text="chance").click()
    page.get_by_label("Longest answer").fill("12")
    ask(page, "Who are you?")
    for at in range(2):
        assert "tokens" in columns.nth(at).locator("footer").inner_text()
        assert columns.nth(at).locator("[data-lineage] a").count() == 1
        assert columns.nth(at).locator(".text").inner_text().strip()

    # 3. A model that is gone says so in its own column; the other answers
    columns.nth(1).locator("select").evaluate(
        "e => { e.options[0].value = 'ft:x:y:gone:1'; e.selectedIndex = 0; }"
    )
    ask(page, "And now?")
    assert "no such model" in columns.nth(1).locator(".text.error").inner_text()
    assert columns.nth(0).locator(".text").inner_text().strip()
    assert page.locator("[data-earlier] section").count() == 1
    assert "Who are you?" in page.locator("[data-earlier]").inner_text()

    # 4. A setting that cannot be is told in the column
    page.get_by_label("Longest answer").evaluate("e => { e.removeAttribute('max'); e.value = 99999; }")
    page.locator("#question").evaluate("e => e.noValidate = true")
    ask(page, "Longer?")
    assert "Longest answer" in columns.nth(0).locator(".text.error").inner_text()

    # 5. Code for the model in view; clear
    columns.nth(0).get_by_role("button", name="Code").click()
    page.get_by_role("tab", name="JavaScript").click()
    assert 'model: "apex-demo"' in page.locator("#call-js pre").inner_text()
    page.get_by_role("button", name="Clear").click()
    assert page.locator("[data-earlier] section").count() == 0
    assert columns.nth(0).locator(".text").inner_text().strip() == ""


def test_it_fits_a_phone(page):
    page.set_viewport_size({"width": 390, "height": 800})
    sign_up(page, f"pia-{uuid.uuid4().hex[:6]}")
    page.goto("/playground/")
    ask(page, "Who are you?")
    assert page.locator("[data-answers] .text").inner_text().strip()
    assert not page.evaluate("document.documentElement.scrollWidth > innerWidth")
