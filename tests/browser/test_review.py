"""Examples are reviewed by keyboard on the real site, and rated by somebody without an account."""

import json
import re
import uuid

import pytest

from tests.browser.conftest import leave
from tests.browser.test_journey import once_ready, sign_up

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.timeout(300)]


def bring(page, stack, name: str, count: int) -> str:
    """A set of `count` examples of the person who is signed in as `name`; the address of its pages."""
    rows = (
        {
            "messages": [
                {"role": "user", "content": f"Question {n}?"},
                {"role": "assistant", "content": f"Answer {n}."},
            ]
        }
        for n in range(count)
    )
    token = stack.manage("create_token", name).split()[-1]
    answer = page.request.post(
        "/api/v1/datasets/",
        headers={"Authorization": f"Bearer {token}"},
        data={"name": "Help desk", "text": "\n".join(json.dumps(row) for row in rows)},
    )
    assert answer.status == 201, answer.text()
    return f"/data/{answer.json()['id']}/"


def new_name(stem: str) -> str:
    return f"{stem}-{uuid.uuid4().hex[:6]}"


def test_ten_rows_are_starred_by_keyboard_and_leave_as_a_file(page, stack, tmp_path):
    name = new_name("rosa")
    sign_up(page, name)
    address = bring(page, stack, name, 30)
    page.goto(f"{address}review/")
    page.get_by_role("heading", name="Example 1 of 30").wait_for()

    # Ten stars, and never a hand on the mouse
    for number in range(1, 11):
        page.get_by_role("heading", name=f"Example {number} of 30").wait_for()
        page.keyboard.press("5")
        page.keyboard.press("s")
    page.get_by_text("10 of 30 seen, gold stars: 10, rejected: 0").wait_for()

    # A note and a tag: keys do nothing while one types
    page.keyboard.press("n")
    page.keyboard.type("rest")
    page.keyboard.press("Escape")
    page.keyboard.press("t")
    page.keyboard.type("sure")
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    page.get_by_role("heading", name="Example 11 of 30").wait_for()
    page.get_by_role("button", name="Take away the tag sure").wait_for()
    page.keyboard.press("r")
    page.get_by_text("11 of 30 seen, gold stars: 10, rejected: 1").wait_for()

    # Undo, and an edit
    page.keyboard.press("u")
    page.get_by_role("heading", name="Example 11 of 30").wait_for()
    page.get_by_text("11 of 30 seen, gold stars: 10, rejected: 0").wait_for()
    page.keyboard.press("e")
    page.keyboard.press("Control+a")
    page.keyboard.type("A better answer 10.")
    page.keyboard.press("Control+Enter")
    page.get_by_text("A better answer 10.").wait_for()
    page.keyboard.press("s")
    page.get_by_text("11 of 30 seen, gold stars: 11, rejected: 0").wait_for()
    page.get_by_text("All saved").wait_for()

    # What was said is there when one comes back
    page.goto(f"{address}review/?show=star")
    page.get_by_text("11 of 30 seen, gold stars: 11, rejected: 0").wait_for()
    page.goto("/data/gold-stars/")
    assert page.locator(".stars > li").count() == 11
    page.get_by_role("button", name="Take them along").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="As a file").click()
    download.value.save_as(tmp_path / "stars.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "stars.jsonl").read_text().splitlines()]
    assert len(rows) == 11
    assert rows[10]["messages"][1]["content"] == "A better answer 10."


def test_nothing_is_lost_when_the_connection_breaks(page, stack):
    name = new_name("tom")
    sign_up(page, name)
    address = bring(page, stack, name, 20)
    page.goto(f"{address}review/")
    page.get_by_role("heading", name="Example 1 of 20").wait_for()
    page.context.set_offline(True)
    for _ in range(4):
        page.keyboard.press("s")
    page.get_by_text("4 not saved yet").wait_for()
    page.get_by_role("heading", name="Example 5 of 20").wait_for()
    page.context.set_offline(False)
    page.get_by_text("All saved").wait_for()
    page.reload()
    page.get_by_text("4 of 20 seen, gold stars: 4").wait_for()
    page.get_by_role("heading", name="Example 5 of 20").wait_for()


def test_what_is_typed_while_the_next_row_is_on_the_way_is_kept(page, stack):
    name = new_name("ida")
    sign_up(page, name)
    address = bring(page, stack, name, 30)
    page.goto(f"{address}review/")
    page.get_by_role("heading", name="Example 1 of 30").wait_for()
    held = []
    page.route(re.compile(r"[?&]after="), lambda route: held.append(route))
    for _ in range(29):  # more than have come; without a row a star does nothing
        page.keyboard.press("s")
    page.keyboard.press("n")
    page.keyboard.type("rest")
    page.keyboard.press("Escape")
    page.keyboard.press("t")
    page.keyboard.type("sure")
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    assert held
    for route in held:
        route.continue_()
    page.get_by_role("button", name="Take away the tag sure").wait_for()
    assert page.get_by_label("Why").input_value() == "rest"
    page.get_by_text("All saved").wait_for()


def test_whoever_leaves_at_once_loses_nothing(page, stack):
    name = new_name("ivo")
    sign_up(page, name)
    address = bring(page, stack, name, 8)
    page.goto(f"{address}review/")
    page.get_by_role("heading", name="Example 1 of 8").wait_for()
    for _ in range(8):
        page.keyboard.press("s")
    page.goto(f"{address}sharing/")  # the browser would ask first; here nobody is at hand to stay
    page.goto(f"{address}review/?show=star")
    page.get_by_text("8 of 8 seen, gold stars: 8").wait_for()


def test_a_guest_rates_by_a_link_while_the_owner_sees_the_agreement(page, stack, chromium):
    name = new_name("uma")
    sign_up(page, name)
    address = bring(page, stack, name, 6)
    page.goto(f"{address}review/")
    for number in range(6):
        page.get_by_role("heading", name=f"Example {number + 1} of 6").wait_for()
        page.keyboard.press("24"[number % 2])
        page.keyboard.press("j")
    page.get_by_text("That was the last one.").wait_for()
    page.get_by_text("All saved").wait_for()
    page.goto(f"{address}sharing/")
    page.get_by_text("One person has rated so far").wait_for()
    page.get_by_label("For whom").fill("Answers of the help desk")
    page.get_by_role("button", name="Make a link").click()
    link = page.locator("#new-link-text").inner_text()

    guests = chromium.new_context(
        viewport={"width": 390, "height": 844}, has_touch=True, reduced_motion="reduce"
    )
    guest = guests.new_page()
    errors = []
    guest.on("pageerror", lambda error: errors.append(str(error)))
    try:
        guest.goto(link)
        assert "Help desk" not in guest.content() and name not in guest.content()
        guest.get_by_label("What is your name?").fill("Ana")
        guest.get_by_role("button", name="Begin").click()
        for _ in range(6):
            once_ready(guest, guest.locator(".chat .learned"))
            number = int(guest.locator(".chat .user .says").inner_text().split()[1].strip("?"))
            guest.get_by_role("button", name=f"Rate {'24'[number % 2]} of 5").tap()
            guest.get_by_role("button", name="Next").tap()
        guest.get_by_text("Thank you!").wait_for()
        guest.get_by_text("All saved").wait_for()
        # Nothing else opens for a guest
        assert guest.goto(f"{stack.url}{address}").url.startswith(f"{stack.url}/accounts/login/")
        assert guest.goto(f"{link.rstrip('/')}x/").status == 404
        assert "This link leads nowhere" in guest.content()
    finally:
        leave(guests)
    assert not errors, errors

    page.goto(f"{address}sharing/")
    page.get_by_text("They agree: the ratings can be relied on.").wait_for()
    assert "Ana" in page.locator("dl.facts").inner_text()

    page.get_by_role("button", name="Close it").click()
    page.get_by_role("button", name="Close this link").click()
    page.get_by_text("The link is closed.").wait_for()
    assert page.goto(link).status == 404
