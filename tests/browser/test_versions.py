"""A set is split again, a row is edited by keyboard, and both versions are looked at side by side."""

import json
import uuid

import pytest

from tests.browser.test_journey import once_ready, sign_up

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.timeout(300)]


def examples(count: int) -> bytes:
    rows = (
        {
            "messages": [
                {"role": "user", "content": f"How far is it to the harbour number {n}?"},
                {
                    "role": "assistant",
                    "content": f"It is {n} miles to the harbour." + " Sail on." * (n % 3 * 40),
                },
            ]
        }
        for n in range(count)
    )
    return "\n".join(json.dumps(row) for row in rows).encode()


def bring(page) -> None:
    page.goto("/data/add/")
    file = {"name": "harbours.jsonl", "mimeType": "application/jsonl", "buffer": examples(60)}
    page.set_input_files("input[type=file]", file)
    page.get_by_role("button", name="Check and keep these").click()
    page.get_by_role("heading", name="harbours").wait_for()


def test_a_split_an_edit_and_a_comparison(page):
    sign_up(page, f"ada-{uuid.uuid4().hex[:6]}")
    bring(page)

    # A split, shown first, then made
    page.get_by_role("link", name="Change this set").click()
    page.get_by_role("link", name="Split again").click()
    once_ready(page, page.get_by_label("Kept aside as a test, of 100 rows"))
    page.get_by_label("Kept aside as a test, of 100 rows").fill("30")
    page.get_by_label("Alike in each group by").select_option("length")
    page.get_by_role("button", name="Show what would happen").click()
    shown = page.get_by_role("status").filter(has_text="kept aside as a test")
    shown.wait_for()
    assert "42 to learn from, 18 kept aside as a test" in shown.inner_text()
    groups = page.locator("#preview table tbody tr")
    assert groups.count() == 2 and "6" in groups.nth(1).inner_text()
    page.get_by_role("button", name="Make the new version").click()
    page.get_by_role("heading", name="harbours, version 2").wait_for()

    # What the split changed
    page.get_by_role("link", name="Versions", exact=True).click()
    page.get_by_text("Split again: 30 of 100 kept aside").wait_for()
    page.get_by_text("Nothing has learned from it yet").wait_for()
    page.get_by_role("link", name="What changed").click()
    words = page.get_by_role("status").filter(has_text="rows are the same").inner_text()
    assert "60 rows are the same; 0 changed, 0 went, 0 came" in words and ", 0 changed sides" not in words
    page.locator("#rows details").first.wait_for()

    # A row is edited by keyboard and saved as one version
    page.get_by_role("link", name="Versions", exact=True).click()
    page.get_by_role("link", name="Version 2").click()
    page.get_by_role("link", name="Edit rows").click()
    once_ready(page, page.get_by_role("heading", name="Row 1 of 60"))
    answer = page.locator("textarea").last
    answer.fill("It is no distance at all to the harbour.")
    answer.press("Control+Enter")
    page.get_by_role("heading", name="Row 2 of 60").wait_for()
    page.get_by_role("heading", name="1 change waits").wait_for()
    page.get_by_role("button", name="Delete this row").click()
    page.get_by_role("heading", name="2 changes wait").wait_for()
    page.get_by_role("button", name="Save as a new version").click()
    page.get_by_role("heading", name="harbours, version 3").wait_for()

    # The comparison, word by word
    page.get_by_role("button", name="Compare", exact=True).click()
    words = page.get_by_role("status").filter(has_text="rows are the same").inner_text()
    assert "58 rows are the same; 1 changed, 1 went, 0 came" in words
    changed = page.locator("#rows details").first
    assert "no distance at all" in "".join(changed.locator("ins").all_inner_texts())
    assert changed.locator("del").count() >= 1
    page.get_by_role("link", name="Only before").click()
    page.get_by_text("Row 2 before").wait_for()

    # Erasing asks for the name
    page.get_by_role("link", name="harbours", exact=True).first.click()
    page.goto(page.url.partition("versions")[0] + "delete/")
    page.get_by_label("Name", exact=True).fill("harbours")
    page.get_by_role("button", name="Erase it for good").click()
    page.get_by_text("“harbours” is erased.").wait_for()
