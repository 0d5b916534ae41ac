"""A real browser without a window. Without one these tests are skipped, or fail if MSCS_REQUIRE_BROWSER is set."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1300,900",
)
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="session")
def chromium(tmp_path_factory) -> Iterator:
    """A driver of Chromium that notes the console's messages and every request."""
    browser = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    driver = shutil.which("chromedriver")
    try:
        from selenium import webdriver
    except ImportError:
        webdriver = None
    if not (browser and driver and webdriver):
        missing = "selenium" if webdriver is None else "Chromium and its chromedriver"
        if os.environ.get("MSCS_REQUIRE_BROWSER"):
            pytest.fail(f"{missing} cannot be found, and MSCS_REQUIRE_BROWSER forbids to go without")
        pytest.skip(f"{missing} cannot be found")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    session = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield session
    session.quit()


@pytest.fixture
def opened(chromium, report) -> Iterator:
    """The page of one model, opened anew from the disk; afterwards the console must hold no error."""
    yield from visit(chromium, report)


@pytest.fixture
def opened_of_two(chromium, report_of_two) -> Iterator:
    yield from visit(chromium, report_of_two)


def visit(chromium, page: Path) -> Iterator:
    for kind in ("browser", "performance"):
        chromium.get_log(kind)
    chromium.get(page.as_uri())
    yield chromium
    assert [entry for entry in chromium.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")] == []
