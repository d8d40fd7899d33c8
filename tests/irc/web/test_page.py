"""The page in Chromium. Run with -m browser.

It needs Chromium, and Python's playwright to drive it (without its own browsers). RELAY_AXE names
the axe.min.js of npm's axe-core; without it, accessibility is not checked.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from bots import Gate, MakeBot
from fake import FakeEngine
from page_acts import OpenPage, draw, enter, say, shows, which, writes
from wire import Connect, Running, Serve, wait_for

from relay_gguf.irc.bot import presenter
from relay_gguf.irc.server import Server

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("make_bot")]
PHONE = {"viewport": {"width": 336, "height": 640}, "has_touch": True, "is_mobile": True}
"""40 columns of 14 pixels' type."""


def test_a_talk_with_topic_bio_and_streaming(
    serve: Serve, make_bot: MakeBot, open_page: OpenPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presenter, "_BETWEEN", 0)
    engine = FakeEngine(["hello there", "a <b>pirate</b>"])
    gate = Gate(engine, token=6)
    page = open_page(serve(make_bot(engine=engine)))
    enter(page)
    assert page.is_visible(".panel:not([hidden]) .hint")
    say(page, "hi!")
    page.wait_for_selector("#preview:has-text('user hello')")
    assert page.inner_text("#typing").startswith("user is typing")
    assert page.is_visible(".order-cancel")
    gate.open()
    shows(page, "hello there")
    assert page.inner_text(".newest .cost") == "11 tokens, 5.5/s"
    assert page.is_hidden("#preview")
    assert not page.is_visible(".panel:not([hidden]) .hint")
    say(page, "/topic sardines")
    page.wait_for_selector("#topic:text-is('sardines')")
    say(page, "/cast I'm a pirate.")
    page.wait_for_selector('.bio:text-is("I\'m a pirate.")')
    say(page, "who are you?")
    shows(page, "a <b>pirate</b>")
    say(page, "/me waves")
    page.wait_for_selector(".row.action:has-text('ann waves')")
    assert page.title() == "#sea · Relay"


def test_retry_and_swipes_by_key_button_and_finger(
    serve: Serve, make_bot: MakeBot, open_page: OpenPage
) -> None:
    page = open_page(serve(make_bot("first", "second", "third")), **PHONE)
    enter(page)
    say(page, "hi!")
    shows(page, "first")
    page.click(".order-retry")
    shows(page, "second")
    assert which(page) == "2/2"
    page.press("#text", "ArrowLeft")
    shows(page, "first")
    assert which(page) == "1/2"
    page.click("[aria-label='The reply after']")
    shows(page, "second")
    box = page.locator(".newest").bounding_box()
    draw(page, box["x"] + 200, box["x"] + 60, box["y"] + 10)
    shows(page, "third")
    assert which(page) == "3/3"
    draw(page, box["x"] + 60, box["x"] + 200, box["y"] + 10)
    shows(page, "second")
    assert page.locator(".row.said").count() == 2, "replies stand in one place"
    say(page, "/undo")
    page.wait_for_selector(".row.undone:has-text('second')")
    writes(page, "hi!")


def test_of_replies_that_are_drawn_at_once_any_can_be_taken(
    serve: Serve, make_bot: MakeBot, open_page: OpenPage
) -> None:
    page = open_page(serve(make_bot("first", "second", "third", "of a new scene")))
    enter(page)
    say(page, "hi!")
    shows(page, "first")
    say(page, "/retry 2")
    shows(page, "Reply 1/3 stands; !next NUMBER takes another.")
    assert which(page) == "1/3"
    page.press("#text", "ArrowRight")
    shows(page, "second")
    assert which(page) == "2/3"
    assert page.inner_text(".choice:has-text('third') .sign") == "3."
    page.click("[aria-label='Take reply 3']")
    page.wait_for_selector(".newest .which:text-is('3/3')")
    page.click(".order-cycle")
    shows(page, "The scene begins anew.")
    assert page.locator(".swipe, .take").count() == 0
    say(page, "hi!")
    shows(page, "of a new scene")
    assert page.locator(".row.said:has-text('third')").count() == 1
    page.click(".order-edit")
    writes(page, "/edit hi!")


def test_channels_are_tabs_with_unread_marks(
    serve: Serve, make_bot: MakeBot, open_page: OpenPage, connect: Connect
) -> None:
    running = serve(make_bot())
    page = open_page(running)
    enter(page)
    page.fill("#join-channel", "land")
    page.press("#join-channel", "Enter")
    page.wait_for_selector("#place:text-is('#land')")
    bob = connect(running, "bob")["bob"]
    bob.ask("JOIN #sea", "PRIVMSG #sea :is ann here?", "PRIVMSG ann :psst")
    page.wait_for_selector("[role=tab]:has-text('#sea') .named:has-text('1')")
    page.wait_for_selector("[role=tab]:has-text('bob') .named")
    assert page.title().startswith("(2) #land")
    page.press("#text", "Alt+ArrowUp")
    page.wait_for_selector("#place:text-is('#sea')")
    shows(page, "is ann here?")
    assert page.locator("[role=tab]:has-text('#sea') .count").count() == 0
    page.press("#text", "Shift+Tab")
    page.press("[role=tab]:has-text('#land')", "Delete")
    page.wait_for_selector("[role=tab]:has-text('#land')", state="detached")


def test_it_comes_back_after_the_server_and_keeps_the_draft(
    serve: Serve, make_bot: MakeBot, open_page: OpenPage
) -> None:
    bot = make_bot("first")
    running = serve(bot)
    port = running.address[1]
    page = open_page(running, allowed="WebSocket connection to")
    enter(page)
    say(page, "hi!")
    shows(page, "first")
    page.fill("#text", "half a thou")
    running.stop()
    bot.close()
    page.wait_for_selector("body.offline")
    page.press("#text", "Enter")
    shows(page, "There is no connection at the moment: your words stay below.")
    again = Running(lambda: Server(make_bot("second")), port)
    try:
        page.wait_for_selector("body:not(.offline) #state:text-is('connected')", timeout=30_000)
        page.wait_for_selector("#members li:nth-child(2)")
        assert page.input_value("#text") == "half a thou"
        assert page.locator(".row.said:has-text('first')").count() == 1, "not shown twice"
        page.press("#text", "Enter")
        shows(page, "second")
        page.reload()
        shows(page, "second")
        shows(page, "first")
    finally:
        page.goto("about:blank")
        again.stop()


def test_a_password_is_asked_for(serve: Serve, open_page: OpenPage) -> None:
    page = open_page(serve(password="sesame"))
    page.press("#door-channel", "Enter")
    page.wait_for_selector("#door-problem:text-is('This network wants a password.')")
    page.fill("#door-password", "x")
    page.press("#door-password", "Enter")
    page.wait_for_selector("#door-problem:has-text('The password is wrong')")
    page.fill("#door-password", "sesame")
    page.press("#door-password", "Enter")
    page.wait_for_selector("#place:text-is('#boston')")


def test_the_menu_goes_by_keys(serve: Serve, make_bot: MakeBot, open_page: OpenPage) -> None:
    page = open_page(serve(make_bot("first")))
    enter(page)
    page.keyboard.type("/ca")
    page.wait_for_selector("[role=option][aria-selected=true]:has-text('/cast')")
    page.keyboard.press("ArrowDown")
    assert page.inner_text("[role=option][aria-selected=true] .usage") == "/cancel"
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Tab")
    assert page.input_value("#text") == "/cast "
    page.keyboard.type("bob: a baker")
    page.keyboard.press("Enter")
    page.wait_for_selector("#members:has-text('bob')")
    page.keyboard.type("hello u")
    page.keyboard.press("Tab")
    assert page.input_value("#text") == "hello user "
    page.fill("#text", "/")
    page.keyboard.press("Escape")
    assert page.is_hidden("#menu")


def test_lines_of_all_lengths_arrive(
    serve: Serve, connect: Connect, make_bot: MakeBot, open_page: OpenPage
) -> None:
    running = serve(make_bot(reply="mention"))
    page = open_page(running)
    enter(page)
    bob = connect(running, "bob", caps="batch draft/multiline message-tags")["bob"]
    bob.ask("JOIN #sea")
    say(page, "wörter " * 120)
    got = [line for line in bob.until("BATCH :?-") if " PRIVMSG " in line]
    assert "".join(line.split(" :")[-1] for line in got) == ("wörter " * 120).rstrip()
    page.fill("#text", "one")
    page.press("#text", "Shift+Enter")
    page.keyboard.type("two")
    page.press("#text", "Enter")
    got = [line for line in bob.until("BATCH :?-") if " PRIVMSG " in line]
    assert [line.split(" :")[-1] for line in got] == ["one", "two"]
    wait_for(lambda: page.locator(".text").last.inner_text() == "one\ntwo")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_forty_columns_are_enough_and_axe_finds_nothing(
    scheme: str, serve: Serve, make_bot: MakeBot, open_page: OpenPage
) -> None:
    path = os.environ.get("RELAY_AXE")
    if not path:
        pytest.skip("RELAY_AXE names no axe.min.js of npm's axe-core")
    axe = Path(path).read_text("utf-8")
    running = serve(make_bot("first", "second", "x" * 300))
    for options in (PHONE, {"viewport": {"width": 1200, "height": 800}}):
        page = open_page(running, color_scheme=scheme, bypass_csp=True, **options)

        def check(page: Any = page) -> None:
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
            page.evaluate(axe)
            found = page.evaluate(
                "axe.run().then(r => r.violations.map(v => [v.id, v.nodes[0].html]))"
            )
            assert found == []

        check()
        enter(page, nick=f"ann{page.viewport_size['width']}")
        check()
        say(page, f"{'long ' * 30}{'w' * 80} https://example.org/{'x' * 60}")
        page.wait_for_selector(".newest")
        page.click(".order-retry")
        page.wait_for_selector(".newest .which")
        check()
        say(page, "/topic " + "topic " * 30)
        page.fill("#text", "/")
        page.wait_for_selector("#menu:not([hidden])")
        check()
        page.fill("#text", "")
        if page.is_visible("#people-button"):
            page.click("#people-button")
            check()
            page.keyboard.press("Escape")
            assert page.is_hidden("#people")
        page.click("[role=tab]:has-text('server')")
        check()


def test_no_code_runs_that_is_not_ours(running: Running, open_page: OpenPage) -> None:
    page = open_page(running, allowed="Content Security Policy|TrustedHTML|TrustedScript")
    for attempt in (
        "const made = document.createElement('script'); made.text = 'ran = 1';"
        "document.head.append(made)",
        "document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"ran = 1\">')",
        "setTimeout('ran = 1')",
    ):
        page.evaluate(f"() => {{ try {{ {attempt} }} catch {{}} }}")
    assert page.evaluate("window.ran ?? 0") == 0
