"""A scene as a page: what it shows, and that no text in it can be anything but text."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from html.parser import HTMLParser

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from relay_gguf.conversation.formats.dated import DatedScene
from relay_gguf.conversation.formats.html import to_html
from relay_gguf.conversation.messages import NICKS, Message, join, topic

NOON = 1_700_049_600.0  # 2023-11-15 12:00:00 UTC


class Page(HTMLParser):
    """A page as a browser reads it: its tags with their attributes, and the text in between."""

    def __init__(self, scenes: Iterable[DatedScene], model: str = "m") -> None:
        super().__init__()
        self.tags: list[tuple[str, tuple[tuple[str, str | None], ...]]] = []
        self.texts: list[str] = []
        self.source = "\n".join(to_html(scenes, model))
        self.feed(self.source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        coloured = ("class", "n0")  # which colour is the nick's own matter
        is_colour = re.compile(r"n\d").fullmatch
        kept = tuple(coloured if k == "class" and is_colour(v or "") else (k, v) for k, v in attrs)
        self.tags.append((tag, kept))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def handle_comment(self, data: str) -> None:
        raise AssertionError(data)

    handle_pi = unknown_decl = handle_comment


@pytest.fixture(autouse=True)
def _utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


def test_a_page_shows_each_scene_as_a_client_does() -> None:
    talk = [
        *((NOON, line) for line in join(NICKS, "model", "café")[1:]),
        *((NOON, line) for line in topic(NICKS, "input", "café", "tea & cake")[1:]),
        (NOON + 60, Message("anon", "hi\nthere")),
        (NOON + 60, Message("user", "/me waves")),
        (NOON + 60, Message("system", "* user used /me waves")),
    ]
    other = [(NOON + 86_400, Message("user", "naïve"))]
    page = Page([("café", talk), ("sea", other)], "model_Q4")
    body = "".join(page.texts).partition("grid-column: 1 / -1; }\n}\n")[2]
    assert [line for line in body.split("\n") if line] == [
        "#cafétea & cake",
        "2023-11-15",
        "12:00-!-Now talking in #café",
        "12:00-!-anon has joined #café",
        "12:00-!-Topic for #café is: tea & cake",
        "12:01<anon>hi",
        "there",
        "12:01*user waves",
        "#sea",
        "2023-11-16",
        "12:00<user>naïve",
        "with model_Q4, by relay-gguf",
    ]
    assert "<title>#café, #sea</title>" in page.source
    assert 'datetime="2023-11-15T12:01:00+0000"' in page.source


def test_a_page_runs_nothing_and_asks_nobody() -> None:
    page = Page([("sea", [(NOON, Message("anon", "https://example.org/x.png"))])])
    tags = {tag for tag, _ in page.tags}
    assert not tags & {"script", "link", "img", "iframe", "object", "a", "base", "form", "svg"}
    names = {name for _, attributes in page.tags for name, _ in attributes}
    assert names == {"charset", "http-equiv", "content", "name", "class", "datetime"}
    assert not re.search(r"url\(|@import|@font-face", page.source)
    assert "default-src 'none'" in page.source


ANY = st.text(st.characters(), max_size=20) | st.sampled_from(
    ["</style><script>x</script>", "<!--", "]]>", '"><img onerror=x>', "&lt;&#60;", "<?x", "\0<b>"]
)


@given(ANY, ANY, ANY, ANY, st.sampled_from(["", "/me ", "* "]))
@example("</title>", "</b><script>", "</span><!--", "</footer>", "")
def test_no_text_becomes_anything_else(
    channel: str, nick: str, content: str, model: str, begin: str
) -> None:
    """Whatever is said, the tags and attributes are those of a harmless page."""

    def page(channel: str, nick: str, content: str, model: str) -> Page:
        notice = Message(NICKS["system"], f"* {nick} did {content}")
        said = Message(f"n{nick}", f"{begin}x{content}")
        set_topic = topic(NICKS, "input", channel, f"t{content}")[1]
        return Page([(channel, [(NOON, said), (NOON, notice), (NOON, set_topic)])], model)

    found = page(channel, nick, content, model)
    assert found.tags == page("c", "n", "s", "m").tags
    kept = re.sub("[^ -~]", "", content)
    assert re.sub("[^ -~]", "", "".join(found.texts)).count(kept) >= 3
    assert not re.search("[\0-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\ud800-\udfff]", found.source)
