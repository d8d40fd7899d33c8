"""The page in Chromium where something is amiss. Run with -m browser, as test_page."""

from __future__ import annotations

from typing import Any

import pytest
from bots import MakeBot
from page_acts import OpenPage, enter, say, shows, writes
from wire import Connect, Running, Serve

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("make_bot")]
NARROW = {"viewport": {"width": 336, "height": 640}, "has_touch": True, "is_mobile": True}


def test_a_channel_with_a_percent_sign_opens_again(
    serve: Serve, make_bot: MakeBot, open_page: OpenPage
) -> None:
    page = open_page(serve(make_bot()))
    enter(page, "#100%")
    page.reload()
    page.wait_for_selector("#place:text-is('#100%')")


def test_drafts_stay_where_they_were_begun(
    serve: Serve, make_bot: MakeBot, open_page: OpenPage
) -> None:
    page = open_page(serve(make_bot("alone")))
    enter(page)
    say(page, "/msg user hello")
    page.wait_for_selector("#place:text-is('user')")
    shows(page, "alone")
    page.fill("#text", "half a thou")
    page.press("#text", "Alt+ArrowUp")
    page.wait_for_selector("#place:text-is('#sea')")
    assert page.input_value("#text") == ""
    say(page, "/msg user once more")
    shows(page, "once more")
    assert page.input_value("#text") == "half a thou"
    page.fill("#text", "/c")
    page.wait_for_selector("#menu:not([hidden])")
    page.press("#text", "Shift+Tab")
    assert page.input_value("#text") == "/c"


def test_what_did_not_arrive_comes_back_once(
    serve: Serve, make_bot: MakeBot, open_page: OpenPage
) -> None:
    """One message is lost on its way with the connection, one had arrived when that was lost."""
    page = open_page(serve(make_bot(reply="mention")), allowed="WebSocket connection to")
    sockets: list[Any] = []
    swallowed: list[str] = []
    deaf = [False]

    def routed(route: Any) -> None:
        server = route.connect_to_server()
        sockets.append(route)

        def up(line: str) -> None:
            lost = " PRIVMSG" in f" {line}" and "lost" in line
            swallowed.append(line) if lost else server.send(line)

        route.on_message(up)
        server.on_message(lambda line: None if deaf[0] else route.send(line))

    page.route_web_socket("**", routed)
    page.reload()
    enter(page)
    say(page, "it is lost")
    say(page, "and this is lost")
    page.press("[role=tab]:has-text('#sea')", "Tab")
    sockets[-1].close()
    writes(page, "it is lost")
    shows(page, "This may not have arrived: and this is lost")
    page.wait_for_selector("body:not(.offline)")
    page.fill("#text", "")
    deaf[0] = True
    say(page, "it arrives")
    page.wait_for_timeout(200)
    deaf[0] = False
    sockets[-1].close()
    shows(page, "it arrives")
    writes(page, "")
    assert len(swallowed) == 2


def test_two_windows_keep_their_channels(
    serve: Serve, make_bot: MakeBot, open_page: OpenPage
) -> None:
    page = open_page(serve(make_bot()))
    enter(page)
    other = page.context.new_page()
    other.goto(page.url.partition("#")[0])
    other.fill("#door-channel", "#land")
    other.press("#door-channel", "Enter")
    other.wait_for_selector("#place:text-is('#land')")
    page.reload()
    page.wait_for_selector("#place:text-is('#sea')")
    page.wait_for_selector("#members li:nth-child(2)", state="attached")
    assert page.locator("[role=tab]").count() == 2  # and the server's
    other.close()


def test_the_door_says_why_it_stays_shut(
    serve: Serve, make_bot: MakeBot, open_page: OpenPage
) -> None:
    running = serve(make_bot())
    page = open_page(running, allowed="WebSocket connection to|ERR_CONNECTION_REFUSED")
    port = running.address[1]
    running.stop()
    page.press("#door-channel", "Enter")
    page.wait_for_selector("#door-problem:has-text('The server does not answer')")
    again = Running(lambda: running.server.__class__(make_bot()), port)
    try:
        page.wait_for_selector("#place:text-is('#boston')")
        page.wait_for_selector(".order-retry")
        say(page, "/quit")
        page.wait_for_selector("#door:not([hidden])")
        page.press("#door-channel", "Enter")
        page.wait_for_selector("#place:text-is('#boston')")
    finally:
        page.goto("about:blank")
        again.stop()


def test_on_a_phone_the_drawer_goes_with_a_choice_and_long_names_wrap(
    serve: Serve, make_bot: MakeBot, open_page: OpenPage, connect: Connect
) -> None:
    running = serve(make_bot())
    page = open_page(running, **NARROW)
    channel, nick = "#" + "W" * 63, "M" * 30
    enter(page, channel)
    bob = connect(running, nick)[nick]
    bob.ask(f"JOIN {channel}")
    page.click("#people-button")
    page.wait_for_selector(f".member:has-text('{nick}')")
    for part in (".panel:not([hidden])", "#people", "html"):
        wide = f"document.querySelector('{part}').scrollWidth"
        assert page.evaluate(f"{wide} <= document.querySelector('{part}').clientWidth"), part
    page.click(f".member:has-text('{nick}')")
    page.wait_for_selector("#people", state="hidden")
    assert page.get_attribute("#people-button", "aria-expanded") == "false"


def test_a_closed_tab_hands_on_its_focus_and_panels_have_names_of_their_own(
    serve: Serve, make_bot: MakeBot, open_page: OpenPage
) -> None:
    page = open_page(serve(make_bot()))
    enter(page)
    for channel in ("#land", "#lake"):
        page.fill("#join-channel", channel)
        page.press("#join-channel", "Enter")
        page.wait_for_selector(f"#place:text-is('{channel}')")
    page.press("[role=tab]:has-text('#land')", "Delete")
    page.wait_for_selector("[role=tab]:has-text('#land')", state="detached")
    assert "lake" in page.evaluate("document.activeElement.textContent")
    page.fill("#join-channel", "#isle")
    page.press("#join-channel", "Enter")
    page.wait_for_selector("#place:text-is('#isle')")
    ids = page.evaluate("[...document.querySelectorAll('.panel')].map(panel => panel.id)")
    assert len(set(ids)) == len(ids)
