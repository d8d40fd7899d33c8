"""Links lead somewhere, every page is in the menu, and what README says of folders is true."""

from __future__ import annotations

import ast
import html
import json
import re
import sys
from pathlib import Path

import pytest
import yaml
from fake import fake_session, run
from fences import PAGES, ROOT, fences, prose
from platformdirs.macos import MacOS
from platformdirs.unix import Unix

from relay_gguf.chat.plain import event_json
from relay_gguf.conversation.events import Said
from relay_gguf.conversation.messages import is_notice

DOCS = ROOT / "docs"
README = ROOT / "README.md"


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and Python-Markdown both make them."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    words = [re.sub(r"[^\w\s-]", "", heading.replace("`", "")).strip() for heading in headings]
    return {re.sub(r"[-\s]+", "-", heading.lower()) for heading in words}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_pages_and_headings_that_are_there(page: Path) -> None:
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"https?://", link):
            continue
        name, _, anchor = link.partition("#")
        target = page if not name else page.parent / name
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def test_pages_of_the_site_link_to_nothing_outside_of_it() -> None:
    for page in DOCS.glob("*.md"):
        assert "](../" not in page.read_text("utf-8"), page.name


def test_every_page_is_in_the_menu_and_in_readme() -> None:
    menu = re.findall(r": ([\w-]+\.md)$", (ROOT / "mkdocs.yml").read_text("utf-8"), re.MULTILINE)
    assert sorted(menu) == sorted(page.name for page in DOCS.glob("*.md"))
    linked = set(re.findall(r"\(docs/([\w-]+\.md)", README.read_text("utf-8")))
    assert linked == {*menu} - {"index.md"}


def test_the_site_is_built_strictly_and_fetches_nothing() -> None:
    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))
    assert config["strict"] is True
    assert config["theme"]["font"] is False


def test_the_model_reads_what_the_page_on_chats_says() -> None:
    section = (DOCS / "chat.md").read_text("utf-8").partition("## What the model reads")[2]
    rows = re.findall(r"^\| (`.+`|an empty line) \| (`.+`).* \|$", section, re.MULTILINE)
    assert len(rows) == 7
    for typed, read in rows:
        line = "" if typed == "an empty line" else typed.strip("`")
        session = fake_session()
        run(session, "/join #boston")
        said = [event.message for event in run(session, line) if isinstance(event, Said)]
        told = [
            message.content if is_notice(message) else f"<{message.nick}> {message.content}"
            for message in said
            if message.nick != "user"  # whose reply may follow
        ]
        assert told == re.findall(r"`(.+?)`", read)


def test_the_objects_for_scripts_have_the_fields_that_are_shown() -> None:
    (shown,) = [f.text for f in fences(DOCS / "scripts.md") if f.language == "json"]
    printed = [event_json(event) for event in run(fake_session(), "hello")]
    fields = {each["event"]: each.keys() for each in printed if each}
    for line in shown.splitlines():
        each = json.loads(line)
        assert each.keys() == fields[each["event"]]


def test_the_picture_is_small_and_refers_to_nothing_outside_itself() -> None:
    picture = (DOCS / "images" / "chat.svg").read_text("utf-8")
    assert len(picture) < 30_000
    addresses = set(re.findall(r"https?://[^\"' )]+", picture))
    assert addresses == {"http://www.w3.org/2000/svg"}


def test_the_picture_shows_the_chat_that_its_script_types() -> None:
    """pexpect, with which the script plays the chat, is not imported: Windows has half of it."""
    tree = ast.parse((DOCS / "record.py").read_text("utf-8"))
    (typed,) = [
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "LINES"
    ]
    picture = (DOCS / "images" / "chat.svg").read_text("utf-8")
    shown = html.unescape(re.sub(r"<[^>]+>", "", picture)).replace("\N{NO-BREAK SPACE}", " ")
    assert typed
    assert [line for line in typed if f"<anon> {line}\n" not in shown] == []


@pytest.mark.skipif(sys.platform == "win32", reason="the folders are those of Linux")
def test_readme_says_where_things_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CONFIG", "DATA", "STATE", "CACHE"):
        monkeypatch.delenv(f"XDG_{name}_HOME")
    home = Path.home()
    dirs = Unix("relay-gguf", appauthor=False)
    folders = [
        dirs.user_config_path / "config.toml",
        dirs.user_data_path,
        dirs.user_state_path / "history",
        dirs.user_cache_path,
        home / ".cache" / "huggingface" / "hub",
    ]
    section = README.read_text("utf-8").partition("## Where things are kept")[2]
    table, _, others = section.partition("\n\nOn")
    assert re.findall(r"`(.+?)`", table) == [f"~/{f.relative_to(home)}" for f in folders]
    mac = MacOS("relay-gguf", appauthor=False)
    assert mac.user_config_path == mac.user_data_path == mac.user_state_path
    for folder in (mac.user_data_path, mac.user_cache_path):
        assert f"`~/{folder.relative_to(home)}`" in others


def test_readme_is_a_door() -> None:
    assert len(README.read_text("utf-8").splitlines()) < 150
