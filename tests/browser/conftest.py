"""Chromium in front of a real stack."""

import shutil

import pytest
from playwright.sync_api import BrowserContext, sync_playwright

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip


@pytest.fixture(scope="module")
def chromium():
    """One browser for a file; each test opens a context of its own.

    Not for the session: Playwright keeps an event loop on the main thread, and no other can run there meanwhile.
    """
    program = next((path for name in CHROMIUM if (path := shutil.which(name))), None)
    assert program, "No Chromium on the PATH; `make chromium` installs it."
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=QUIET)
        yield browser
        browser.close()


def leave(context: BrowserContext) -> None:
    """Its pages ask the site nothing more. It is not closed: once, on a busy machine, Chromium never answered that.

    Closing the browser has a limit of its own, after which Playwright ends it.
    """
    for page in context.pages:
        page.goto("about:blank")


@pytest.fixture
def page(chromium, stack):
    """A fresh page that fails the test on any script error."""
    context = chromium.new_context(
        base_url=stack.url,
        viewport={"width": 1280, "height": 900},
        accept_downloads=True,
        reduced_motion="reduce",
    )
    context.set_default_timeout(20_000)
    page = context.new_page()
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    leave(context)
    assert not errors, errors
