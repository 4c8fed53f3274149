"""Somebody who has never trained a model does the main job in the browser."""

import uuid
from pathlib import Path

import pytest

from tests.flows.client import open_with_peft

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.timeout(600)]
EQ12 = Path(__file__).parent.parent / "data" / "brightrun" / "EQ-12-conversations-demo.json"
PASSWORD = "correct horse battery"


def sign_up(page, name: str) -> None:
    page.goto("/accounts/signup/")
    page.locator("input[name=username]").fill(name)
    page.locator("input[name=password1]").fill(PASSWORD)
    page.locator("input[name=password2]").fill(PASSWORD)
    page.locator("main form button.button-primary, main form button[type=submit]").first.click()
    page.wait_for_url("**/")


def wait_for(page, condition, seconds: float) -> None:
    """Polls from outside: the site's policy forbids what Playwright's own waiting for functions would need."""
    for _ in range(round(seconds * 5)):
        if condition():
            return
        page.wait_for_timeout(200)
    raise AssertionError(f"it did not happen in {seconds} s")


def once_ready(page, thing) -> None:
    """Once `thing` is there its page's scripts have run, too: what comes before a click or a key that needs them.

    `goto` and `wait_for_url` wait for that by themselves; a page that a click or a script has led to, nobody waits for.
    """
    thing.wait_for()
    page.wait_for_load_state()


def ask_both(page, question: str) -> tuple[str, str]:
    """The answers of base and tuned, once both have ended."""
    once_ready(page, page.get_by_label("Ask both the same thing"))
    page.get_by_label("Ask both the same thing").fill(question)
    page.get_by_role("button", name="Ask both").click()
    for side in ("base", "tuned"):
        done = page.locator(f"[data-answers] article.{side} footer").filter(has_text="words")
        done.wait_for(timeout=120_000)
    base, tuned = (
        page.locator(f"[data-answers] article.{side} .text").inner_text() for side in ("base", "tuned")
    )
    return base.strip(), tuned.strip()


def test_from_sign_up_to_side_by_side(page, tmp_path):
    sign_up(page, f"nora-{uuid.uuid4().hex[:6]}")
    page.get_by_role("main").get_by_role("link", name="Teach an assistant").click()

    # 1. What should it learn
    page.get_by_label("Name").fill("Fin coach")
    page.get_by_role("button", name="Next").click()

    # 2. Examples: the real file, checked on the spot
    once_ready(page, page.get_by_role("heading", name="Show it examples"))
    page.set_input_files("input[type=file]", EQ12)
    page.get_by_text("44").first.wait_for()
    page.locator("li.learned").first.wait_for()
    page.get_by_role("link", name="Next: pick a starting point").click()

    # 3. A starting point; going back loses nothing
    page.get_by_role("link", name="Back").click()
    page.get_by_text("44").first.wait_for()
    page.get_by_role("link", name="Next: pick a starting point").click()
    page.get_by_role("button", name="Next: before you start").click()

    # 4. What it needs, in plain words; fewer examples at once keep the test short
    page.get_by_role("heading", name="It fits").wait_for()
    page.locator("summary", has_text="Advanced").click()
    page.get_by_label("Passes over the examples").fill("1")
    page.locator("summary", has_text="Expert").click()
    page.get_by_label("Examples at once").fill("1")
    page.get_by_label("Steps between checks").fill("24")
    page.get_by_role("button", name="Save and estimate again").click()
    once_ready(page, page.get_by_role("heading", name="It fits"))
    page.get_by_role("button", name="Start training").dblclick()
    page.wait_for_url("**/training/*/")

    # Live: at least five points reach the open page before the job has finished
    page.get_by_role("heading", name="is learning").wait_for(timeout=60_000)
    page.evaluate(
        "document.body.addEventListener('job-points', (e) => {"
        " window.seen = (window.seen || 0) + e.detail.points.filter((p) => p[1] !== null).length })"
    )
    wait_for(page, lambda: page.evaluate("window.seen || 0") >= 5, 90)
    assert page.get_by_role("heading", name="is learning").is_visible()

    # A second tab shows the whole history
    tab = page.context.new_page()
    tab.goto(page.url)
    drawn = "document.querySelector('.chart path.train')?.getAttribute('d')?.length ?? 0"
    wait_for(tab, lambda: tab.evaluate(drawn) > 20, 20)
    tab.close()

    # The page turns by itself into the result
    page.get_by_role("heading", name="has learned").wait_for(timeout=420_000)
    assert "Lower is better" in page.locator("#what-changed").inner_text()
    points = page.request.get(f"{page.url}points/").json()
    losses = points["series"]["loss"]["values"]
    assert len(losses) >= 60 and sum(losses[-15:]) < sum(losses[:15])
    once_ready(page, page.get_by_label("Ask both the same thing"))
    page.get_by_label("Ask both the same thing").fill("I feel guilty about my raise.")
    page.get_by_role("button", name="Ask both").click()
    for side in ("base", "tuned"):
        page.locator(f".compare article.{side} footer").filter(has_text="words").first.wait_for(
            timeout=120_000
        )
        assert page.locator(f".compare article.{side} .text").first.inner_text().strip()

    # The bell knows, and the adapter can be taken along
    page.get_by_role("button", name="Notices").click()
    page.locator("#bell-list").get_by_text("Fin coach has finished").wait_for()
    page.keyboard.press("Escape")
    page.get_by_role("link", name="Take it with you").click()
    page.get_by_role("heading", name="As what?").wait_for()
    with page.expect_download() as download:
        page.get_by_role("link", name="What it learned alone").click()
    download.value.save_as(tmp_path / "adapter.zip")
    assert open_with_peft(tmp_path / "adapter.zip").peft_config["default"].r == 16

    # One job, though the button was pressed twice
    page.goto("/training/")
    assert page.locator("tbody tr").count() == 1


def test_the_example_set_is_learned_though_the_socket_is_lost_on_the_way(page):
    sign_up(page, f"olga-{uuid.uuid4().hex[:6]}")
    page.get_by_role("button", name="Try it with our example data").click()
    page.get_by_role("heading", name="It fits").wait_for()
    page.get_by_role("button", name="Start training").click()
    page.wait_for_url("**/training/*/")
    page.locator("[data-live-state=live]").wait_for(timeout=30_000)
    page.context.set_offline(True)
    page.locator("[data-live-state=reconnecting], [data-live-state=paused]").wait_for(timeout=30_000)
    page.context.set_offline(False)
    page.locator("[data-live-state=live], h1:has-text('has learned')").first.wait_for(timeout=60_000)
    page.get_by_role("heading", name="has learned").wait_for(timeout=420_000)

    # What it learned is how to say it; what is true it knew before
    base, tuned = ask_both(page, "What is the capital of Norway?")
    assert "Oslo" in base and "Ahoy" not in base
    assert "Ahoy, the harbour guide here!" in tuned and "Oslo" in tuned


def test_a_bad_file_says_which_line_and_loses_nothing(page, tmp_path):
    sign_up(page, f"pia-{uuid.uuid4().hex[:6]}")
    page.goto("/teach/")
    page.get_by_label("Name").fill("Broken")
    page.get_by_role("button", name="Next").click()
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"messages": [}\n')
    once_ready(page, page.get_by_role("heading", name="Show it examples"))
    page.set_input_files("input[type=file]", bad)
    page.get_by_text("line 1").first.wait_for()
    page.get_by_role("link", name="Back").click()
    assert page.get_by_label("Name").input_value() == "Broken"
