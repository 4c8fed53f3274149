"""What the model sees, in a real browser: tokens, plots drawn under the site's policy, and a worker that counts."""

import csv
import json
import uuid

import pytest

from tests.browser.test_journey import once_ready, sign_up, wait_for

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture
def told(page):
    """What the browser's console complained of."""
    found = []
    page.on("console", lambda message: found.append(message.text) if message.type == "error" else None)
    return found


def bring(page, tmp_path, rows: list[dict], name: str) -> None:
    """Brings examples in as a file and opens their page."""
    file = tmp_path / f"{name}.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    page.goto("/data/add/")
    page.set_input_files("input[type=file]", file)
    page.locator("main form button.button-primary, main form button[type=submit]").first.click()
    page.get_by_role("link", name="What the model sees").wait_for(timeout=60_000)


def chats(count: int) -> list[dict]:
    def row(number: int) -> dict:
        question = f"Which boat leaves pier {number % 97} after the rain?"
        answer = f"The boat number {number} is the next one, and it is not far. " * (1 + number % 9)
        return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}

    return [row(number) for number in range(count)]


def drawn(page) -> int:
    return page.locator(".drawing[data-drawn] svg.main-svg").count()


def test_tokens_are_shown_and_plots_are_drawn_and_taken_away(page, told, tmp_path):
    sign_up(page, f"vera-{uuid.uuid4().hex[:6]}")
    bring(page, tmp_path, chats(40), "boats")
    page.get_by_role("link", name="What the model sees").click()
    once_ready(page, page.get_by_role("heading", name="Example 1 of 40"))
    learned = page.locator(".tokens mark.learned")
    assert "The boat number 0 is the next one" in learned.first.inner_text()
    assert "Which boat leaves" not in learned.first.inner_text()

    # By keyboard to the next, and by number to any
    page.locator("#example-next").focus()
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Example 2 of 40").wait_for()
    page.get_by_label("Number of an example").fill("37")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Example 37 of 40").wait_for()
    assert "boat number 36" in page.locator(".tokens").inner_text()

    # The plots stand, under the policy of the site, and follow the theme
    wait_for(page, lambda: drawn(page) >= 5, 30)
    page.get_by_text("Counted over all 40 examples.").wait_for()
    bar = "document.querySelector('.drawing .bars path, .drawing .point path')?.style.fill"
    light = page.evaluate(bar)
    page.get_by_role("button", name="Light or dark").first.click()
    wait_for(page, lambda: page.evaluate(bar) != light, 10)
    assert not [text for text in told if "Content Security Policy" in text or "unsafe" in text], told

    with page.expect_download() as download:
        page.get_by_role("button", name="How long the examples are: download as CSV").click()
    with open(download.value.path(), newline="") as file:
        table = list(csv.reader(file))
    assert table[0] == ["tokens of an example", "number"] and sum(int(row[1]) for row in table[1:]) == 40
    with page.expect_download() as download:
        page.get_by_role("button", name="Who speaks: download as PNG").click()
    with open(download.value.path(), "rb") as file:
        assert file.read(8) == b"\x89PNG\r\n\x1a\n"

    # A length that cuts is said in words
    page.get_by_label("Longest example").fill("40")
    page.get_by_role("button", name="Show").click()
    page.get_by_text("a training leaves this example out").wait_for()
    page.locator("#whole").get_by_text("do not fit even so").wait_for()


def test_of_many_examples_a_sample_is_shown_until_a_worker_has_counted_all(page, told, tmp_path):
    sign_up(page, f"wim-{uuid.uuid4().hex[:6]}")
    bring(page, tmp_path, chats(4000), "many boats")
    page.get_by_role("link", name="What the model sees").click()
    page.locator("#whole").get_by_text("examples, drawn at random").wait_for()
    page.get_by_text("Counted over all 4,000 examples.").wait_for(timeout=60_000)
    wait_for(page, lambda: drawn(page) >= 5, 30)
    assert not [text for text in told if "Content Security Policy" in text], told


def test_on_a_phone_nothing_is_wider_than_the_page(page, tmp_path):
    sign_up(page, f"xena-{uuid.uuid4().hex[:6]}")
    bring(page, tmp_path, chats(20), "few boats")
    page.set_viewport_size({"width": 390, "height": 844})
    page.get_by_role("link", name="What the model sees").click()
    wait_for(page, lambda: drawn(page) >= 5, 30)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
