"""Large files in the browser: cut, resumed, checked; a bad one is read about and mended."""

import json
import re
import uuid
from pathlib import Path

import pytest

from tests.browser.test_journey import once_ready, sign_up, wait_for

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.timeout(300)]
MB = 1024 * 1024
TOOK = re.compile(r"upload (\S+) took bytes (\d+) to (\d+) of (\d+)")


def chat_line(number: int, padding: str) -> str:
    messages = [
        {"role": "user", "content": f"Question {number}?"},
        {"role": "assistant", "content": f"Answer {number}. {padding}"},
    ]
    return json.dumps({"messages": messages}) + "\n"


def large_file(path: Path, size: int) -> tuple[Path, int]:
    """Chat rows of nearly `size` bytes together, never more; returns how many they are."""
    padding = "It depends on the day, and on whom you ask. " * 200
    rows = size // (len(chat_line(10**6, padding)))
    with open(path, "w") as file:
        for number in range(rows):
            file.write(chat_line(number, padding))
    return path, rows


def pieces_of(stack, size: int) -> list[tuple[str, int, int]]:
    """What the server took of the upload of `size` bytes: (id, from, to), in order."""
    found = TOOK.findall(stack.log("web"))
    return [(key, int(start), int(end)) for key, start, end, length in found if int(length) == size]


def test_a_file_of_100_mb_is_cut_resumed_checked_and_shown(page, stack, tmp_path):
    path, rows = large_file(tmp_path / "hundred.jsonl", 100 * MB)
    size = path.stat().st_size
    assert size > 99 * MB
    sign_up(page, f"rita-{uuid.uuid4().hex[:6]}")
    page.goto("/data/add/")
    page.get_by_label("Name of this set").fill("A hundred")
    page.set_input_files("input[type=file]", path)
    page.get_by_role("button", name="Check and keep these").click()

    # The connection is lost, and it goes on by itself when it is back
    wait_for(page, lambda: len(pieces_of(stack, size)) >= 2, 60)
    page.context.set_offline(True)
    page.get_by_text("Paused: the connection is lost").wait_for()
    page.wait_for_timeout(1000)
    before = len(pieces_of(stack, size))
    page.context.set_offline(False)
    wait_for(page, lambda: len(pieces_of(stack, size)) > before, 60)

    # The page is left in the middle; elsewhere it says how much is here
    page.goto("/data/")
    assert 0 < pieces_of(stack, size)[-1][2] < size
    page.get_by_role("link", name="hundred.jsonl").wait_for()
    assert "choose the same file" in page.locator("#imports").inner_text()

    # Choosing the same file again sends only what is missing
    page.goto("/data/add/")
    page.get_by_label("Name of this set").fill("A hundred")
    page.set_input_files("input[type=file]", path)
    page.get_by_role("button", name="Check and keep these").click()
    page.wait_for_url("**/data/imports/**", timeout=90_000)
    pieces = pieces_of(stack, size)
    assert len({key for key, _start, _end in pieces}) == 1
    assert pieces[0][1] == 0 and pieces[-1][2] == size
    assert all(end == start for (_, _, end), (_, start, _) in zip(pieces, pieces[1:], strict=False))

    # A worker checks it; the page turns into the new set
    page.get_by_role("heading", name="A hundred").wait_for(timeout=120_000)
    page.get_by_text(f"{rows:,}").first.wait_for(timeout=120_000)
    page.locator("li.learned").first.wait_for()
    assert "/imports/" not in page.url
    page.get_by_role("button", name="Notices").click()
    page.locator("#bell-list").get_by_text("hundred.jsonl is checked and ready").wait_for()


def test_a_bad_file_is_read_about_and_mended(page, tmp_path):
    good = "".join(chat_line(number, "Yes. " * 150) for number in range(4000))
    bad, mended = tmp_path / "letters.jsonl", tmp_path / "letters-mended.jsonl"
    bad.write_text(good.replace('"assistant"', '"asistant"'))
    mended.write_text(good)
    sign_up(page, f"sam-{uuid.uuid4().hex[:6]}")
    page.goto("/data/add/")
    page.get_by_label("Name of this set").fill("Letters")
    page.set_input_files("input[type=file]", bad)
    page.get_by_role("button", name="Check and keep these").click()

    # The page names the lines, and the report can be taken along
    page.get_by_role("heading", name="Bring the mended file").wait_for(timeout=60_000)
    page.wait_for_load_state()
    assert page.locator(".faults .line-no").first.inner_text() == "line 1"
    with page.expect_download() as download:
        page.get_by_role("link", name="Report as JSON").click()
    download.value.save_as(tmp_path / "report.json")
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["verdict"] == "reject"
    assert {1, 2, 3} <= {fault["line"] for fault in report["errors"]}

    # The mended file takes its place, under the name that was given
    page.set_input_files("input[type=file]", mended)
    page.get_by_role("heading", name="Letters").wait_for(timeout=60_000)
    page.get_by_text("4,000").first.wait_for(timeout=60_000)
    page.locator("li.learned").first.wait_for()


def test_columns_that_nobody_knows_are_named_on_the_page(page, tmp_path):
    table = tmp_path / "tabelle.csv"
    rows = "".join(f"{n};Wie geht Sache {n}?;{'So geht sie. ' * 30}\n" for n in range(7000))
    table.write_text("Nr;Frage an uns;Unsere Antwort\n" + rows)
    sign_up(page, f"uta-{uuid.uuid4().hex[:6]}")
    page.goto("/data/add/")
    page.set_input_files("input[type=file]", table)
    page.get_by_role("button", name="Check and keep these").click()
    page.get_by_role("heading", name="Which column is the question").wait_for(timeout=60_000)
    page.wait_for_load_state()
    bubbles = page.locator("#columns .chat")
    assert "Wie geht Sache 0?" in bubbles.first.inner_text()

    # The first rows follow what is chosen
    page.get_by_role("combobox", name="The question").select_option("Nr")
    wait_for(page, lambda: "Wie geht" not in bubbles.first.inner_text(), 10)
    page.get_by_text("A better and a worse answer").click()
    page.get_by_role("combobox", name="The worse answer").wait_for()
    page.get_by_text("Questions with answers", exact=True).click()
    page.get_by_role("combobox", name="The answer it should learn").wait_for()
    page.get_by_role("combobox", name="The question").select_option("Frage an uns")
    page.get_by_role("combobox", name="The answer it should learn").select_option("Unsere Antwort")
    page.get_by_role("button", name="Read it like this").click()
    page.get_by_text("7,000").first.wait_for(timeout=60_000)
    assert "Wie geht Sache 0?" in page.locator("li.user").first.inner_text()


def test_the_wizard_takes_a_large_file(page, tmp_path):
    path, rows = large_file(tmp_path / "wizard.jsonl", 5 * MB)
    sign_up(page, f"vic-{uuid.uuid4().hex[:6]}")
    page.goto("/teach/")
    page.get_by_label("Name").fill("Coach")
    page.get_by_role("button", name="Next").click()
    once_ready(page, page.get_by_role("heading", name="Show it examples"))
    page.set_input_files("input[type=file]", path)
    page.get_by_text(f"{rows:,}").first.wait_for(timeout=60_000)
    page.locator("li.learned").first.wait_for()
    page.get_by_role("link", name="Next: pick a starting point").click()
    page.get_by_role("button", name="Next: before you start").wait_for()


def test_an_upload_can_be_paused_and_cancelled(page, stack, tmp_path):
    path, _rows = large_file(tmp_path / "forty.jsonl", 40 * MB)
    size = path.stat().st_size
    sign_up(page, f"tess-{uuid.uuid4().hex[:6]}")
    page.goto("/data/add/")
    slow = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 3 * MB}
    page.context.new_cdp_session(page).send("Network.emulateNetworkConditions", slow)
    page.set_input_files("input[type=file]", path)
    page.get_by_role("button", name="Check and keep these").click()
    wait_for(page, lambda: len(pieces_of(stack, size)) >= 1, 60)
    page.get_by_role("button", name="Pause").click()
    page.get_by_text("What has been sent is kept for a day").wait_for()
    page.get_by_role("button", name="Go on").click()
    page.get_by_role("button", name="Pause").click()
    page.get_by_role("button", name="Cancel").click()
    page.locator("[data-pieces]").wait_for(state="hidden")
    page.goto("/data/")
    assert page.locator("#imports a").count() == 0
    key = pieces_of(stack, size)[0][0]
    assert not (stack.data / "uploads" / f"{key}.part").exists()
