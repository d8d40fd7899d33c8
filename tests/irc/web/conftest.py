"""The page in Chromium, for the tests that are marked `browser`."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from page_acts import OpenPage
from wire import Running


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    found = shutil.which("chromium") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("chromium is not installed")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium: Any) -> Iterator[OpenPage]:
    """Open pages, in which nothing complains and no other host is asked."""
    problems: list[str] = []
    asked: list[str] = []
    contexts: list[Any] = []

    def opened(running: Running, **options: Any) -> Any:
        allowed = options.pop("allowed", "nothing")
        contexts.append(chromium.new_context(**options))
        page = contexts[-1].new_page()

        def heard(message: Any) -> None:
            if message.type in ("error", "warning") and not re.search(allowed, message.text):
                problems.append(message.text)

        page.on("console", heard)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.on("websocket", lambda socket: asked.append(socket.url))
        host, port = running.address
        page.set_default_timeout(30_000)
        page.goto(f"http://{host}:{port}/")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert problems == []
    assert {re.sub(r":\d+/.*", "", url) for url in asked} <= {"http://127.0.0.1", "ws://127.0.0.1"}
