"""The page's files over HTTP."""

from __future__ import annotations

import json
import re
from importlib.resources import files

import pytest
from bots import MakeBot
from browser_wire import get
from wire import Running, Serve

import relay_gguf.irc.web
from relay_gguf.irc.bot.orders import ORDERS

FILES = [file.name for file in (files(relay_gguf.irc.web) / "page").iterdir()]


@pytest.mark.parametrize("name", ["", *FILES])
def test_each_file_comes_with_headers_that_keep_others_out(running: Running, name: str) -> None:
    got = get(running, f"/{name}?nick=ann")
    assert got.status == 200
    assert int(got.headers["Content-Length"]) == len(got.body) > 0
    policy = got.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert got.headers["X-Content-Type-Options"] == "nosniff"
    assert got.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert got.headers["Cache-Control"] == "no-cache"


@pytest.mark.parametrize("path", ["/nothing", "/../knock.py", "/__init__.py", "/page", "//x", "/."])
def test_there_is_nothing_else(running: Running, path: str) -> None:
    assert get(running, path).status == 404


@pytest.mark.parametrize("name", FILES)
def test_no_file_names_another_host_or_has_code_in_its_html(name: str) -> None:
    text = (files(relay_gguf.irc.web) / "page" / name).read_text("utf-8")
    found = set(re.findall(r"\b(?:https?|wss?)://[^\s\"'`)]*", text))
    assert found - {"http://www.w3.org/2000/svg"} == set()
    if name.endswith(".html"):
        assert not re.search(r"<style|\son\w+=|\sstyle=|<script(?![^>]*\ssrc=)", text)


def test_the_orders_are_those_of_the_bot(serve: Serve, make_bot: MakeBot) -> None:
    got = get(serve(make_bot()), "/orders.json")
    assert got.headers["Content-Type"] == "application/json"
    orders = json.loads(got.body)
    assert [order["name"] for order in orders] == [*ORDERS, "lazy?"]
    assert orders[1] == {"name": "retry", "argument": "[number]", "help": ORDERS["retry"]}


def test_a_server_without_a_bot_has_no_orders(running: Running) -> None:
    assert json.loads(get(running, "/orders.json").body) == []
