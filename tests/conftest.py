"""Fixtures that several test files share: the data beside the checkout, one running page, one browser for all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Before anything imports ultralytics: no network, no installs by itself.
os.environ.setdefault("YOLO_OFFLINE", "1")
os.environ.setdefault("YOLO_AUTOINSTALL", "0")
os.environ.setdefault("ULTRALYTICS_SAFE_LOAD", "1")
if "PYTEST_XDIST_WORKER" in os.environ:  # one of two processes, gw0 or gw1, which share the cores
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    # Ports of its own: a page that loses a port to another between gradio's check and its start never starts.
    os.environ["GRADIO_SERVER_PORT"] = str(7860 + 200 * int(os.environ["PYTEST_XDIST_WORKER"].removeprefix("gw")))

import pytest

ROOT = Path(__file__).resolve().parent.parent

# No sandbox, as the tests may run as root; no background networking, as the page must not need any.
BROWSER_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE = 60_000  # ms for what an action brings to the page, on however slow a machine
COLD = 120_000  # ms for a page that a browser has not loaded yet, and for a model that has not run yet


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever needs a browser or the running page is slow; what waits for a browser, a page or a child process has a
    second try, as a busy machine may keep it waiting for too long. It is counted, and what fails twice has failed."""
    for item in items:
        if {"browser", "server"}.intersection(getattr(item, "fixturenames", ())):
            item.add_marker("slow")
        if item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.flaky(reruns=1))


@pytest.fixture(scope="session")
def shared() -> Path:
    """Pictures with labels and a stock checkpoint that lie beside the checkout; the project never ships them."""
    folder = ROOT.parent / "shared"
    if not (folder / "weights" / "yolov8n.pt").is_file():
        pytest.skip("the shared data folder is not beside this checkout")
    return folder


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """Address of the page, started as `python app.py` starts it, on a free port."""
    from dlka.ui.app import serve

    app = serve(block=False)
    yield app.local_url
    app.close()


@pytest.fixture(scope="session")
def browser():
    """Headless Chromium. Skipped where there is none, but never in CI."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        if os.environ.get("CI"):
            pytest.fail("the page's tests need a browser: install the package chromium")
        pytest.skip("no chromium on this machine")
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=BROWSER_FLAGS)
        yield browser
        browser.close()


@pytest.fixture(autouse=True)
def no_window_stays(request):
    """A test that fails leaves no window behind, which would go on drawing beside the next tests."""
    browser = request.getfixturevalue("browser") if "browser" in request.fixturenames else None
    before = browser.contexts if browser else []
    yield
    for context in browser.contexts if browser else []:
        if context not in before:
            context.close()


@pytest.fixture
def page(browser, server):
    """The page as it opens, in a fresh window of a laptop's size; it must not ask anybody else for anything."""
    from page_tabs import wait_for_stages  # beside the tests of the page

    with window(browser, server) as page:
        page.goto(server)
        wait_for_stages(page, 3)
        yield page


@pytest.fixture
def street(browser, server):
    """The same at a photograph, which a model with a pyramid looks at."""
    from page_tabs import wait_for_stages

    with window(browser, server) as page:
        page.goto(f"{server}?example=Bus+stop&model=head&baseline=control")
        wait_for_stages(page, 9)
        yield page


@pytest.fixture
def phone(browser, server):
    """The page as it opens on a phone, at its picture."""
    from page_tabs import wait_for_stages

    with window(browser, server, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True) as page:
        page.goto(server)
        wait_for_stages(page, 3)
        page.locator(".see-picture").scroll_into_view_if_needed()
        yield page


@pytest.fixture
def new_window(browser, server):
    """Opens fresh windows: `with new_window() as page`, without a page in it yet."""
    return lambda: window(browser, server)


@pytest.fixture(scope="module")
def segment_server(tmp_path_factory):
    """Address of the page "Segment" alone, beside networks of random numbers."""
    from segment_window import served

    with served(tmp_path_factory.mktemp("networks")) as address:
        yield address


@pytest.fixture
def seg(browser, segment_server):
    """That page in a window of a laptop's size, loaded."""
    from segment_window import opened

    with window(browser, segment_server) as page:
        yield opened(page, segment_server)


@pytest.fixture
def seg_phone(browser, segment_server):
    """The same on a phone."""
    from segment_window import PHONE, opened

    with window(browser, segment_server, **PHONE) as page:
        yield opened(page, segment_server)


@contextmanager
def window(browser, server, **kind):
    """A fresh window, without a page in it yet; of a laptop's size, unless it is of another kind."""
    context = browser.new_context(**{"viewport": {"width": 1440, "height": 1000}, "reduced_motion": "reduce", **kind})
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    page.set_default_navigation_timeout(COLD)
    page.strangers = []
    local = (server.rstrip("/"), "data:", "blob:")
    page.on("request", lambda request: request.url.startswith(local) or page.strangers.append(request.url))
    yield page
    assert page.strangers == []
    context.close()
