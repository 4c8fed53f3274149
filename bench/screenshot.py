"""`python -m bench.screenshot`: the README's picture, from a real run. `--all FOLDER`: every page, at four widths,
light and dark, empty, in the middle of a run and at its end, to be looked at.
"""

import argparse
import shutil
import tempfile
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from tests.browser.conftest import CHROMIUM, QUIET
from tests.stack import ROOT, Stack

PICTURE = ROOT / "docs" / "screenshot.png"
WIDTHS = {"phone": 390, "tablet": 768, "desk": 1280, "wide": 1920}
PASSWORD = "correct horse battery"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.screenshot", description=__doc__)
    parser.add_argument("--all", type=Path, help="folder for a picture of every page")
    folder = parser.parse_args().all
    program = next(path for name in CHROMIUM if (path := shutil.which(name)))
    with (
        tempfile.TemporaryDirectory(prefix="apex-picture-") as data,
        Stack(Path(data)) as stack,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=program, args=QUIET)
        page = browser.new_context(base_url=stack.url, viewport={"width": 1280, "height": 900}).new_page()
        page.set_default_timeout(60_000)
        camera = Camera(page, folder) if folder else None
        journey(page, camera)
        browser.close()


class Camera:
    """Takes a page at every width, light and dark."""

    def __init__(self, page: Page, folder: Path):
        self.page, self.folder = page, folder
        folder.mkdir(parents=True, exist_ok=True)

    def take(self, name: str) -> None:
        for theme in ("light", "dark"):
            self.page.emulate_media(color_scheme=theme)
            for word, width in WIDTHS.items():
                self.page.set_viewport_size({"width": width, "height": 900})
                self.page.wait_for_timeout(250)
                self.page.screenshot(path=self.folder / f"{name}-{word}-{theme}.png", full_page=True)
        self.page.emulate_media(color_scheme="light")
        self.page.set_viewport_size({"width": 1280, "height": 900})


def journey(page: Page, camera: Camera | None) -> None:
    """Sign up, take the example set, train, ask both; a picture at each stop."""

    def stop(name: str, url: str | None = None) -> None:
        if camera is not None:
            if url:
                page.goto(url)
            camera.take(name)

    stop("login", "/accounts/login/")
    page.goto("/accounts/signup/")
    stop("signup")
    page.locator("input[name=username]").fill("nora")
    page.locator("input[name=password1]").fill(PASSWORD)
    page.locator("input[name=password2]").fill(PASSWORD)
    page.locator("main form button.button-primary").first.click()
    page.wait_for_url("**/")
    stop("home-empty")
    for name, url in (("data-empty", "/data/"), ("training-empty", "/training/"), ("goal", "/teach/")):
        stop(name, url)
    page.goto("/")
    page.get_by_role("button", name="Try it with our example data").click()
    page.wait_for_url("**/review/")
    stop("review")
    if camera is not None:
        plan = page.url.removesuffix("review/")
        for step in ("examples", "model"):
            stop(step, f"{plan}{step}/")
        page.goto(f"{plan}review/")
    page.get_by_role("button", name="Start training").click()
    page.get_by_role("heading", name="is learning").wait_for()
    page.wait_for_timeout(12_000)
    stop("live")
    page.get_by_role("heading", name="has learned").wait_for(timeout=300_000)
    page.get_by_role("button", name="Ask both").click()
    for side in ("base", "tuned"):
        page.locator(f".compare article.{side} footer").filter(has_text="words").first.wait_for(
            timeout=120_000
        )
    page.wait_for_timeout(1500)
    page.evaluate("document.activeElement.blur()")
    page.screenshot(path=PICTURE)
    stop("done")
    for name, url in (
        ("home", "/"), ("data", "/data/"), ("training", "/training/"), ("models", "/models/"),
        ("base-model", "/models/apex-demo/"), ("settings", "/settings/"), ("tokens", "/settings/tokens/"),
        ("api-docs", "/api/docs/"), ("missing", "/no/such/page/"),
    ):  # fmt: skip
        stop(name, url)


if __name__ == "__main__":
    main()
