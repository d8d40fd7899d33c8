"""Character cards: read from files of each form, cast in a chat, refused where damaged."""

from __future__ import annotations

import json
import struct
import zlib
from base64 import b64encode
from collections import deque
from pathlib import Path

import pytest
from fake import FakeEngine, fake_session, run

from relay_gguf import SamplingParams, read_card
from relay_gguf.conversation.cards import png_text
from relay_gguf.conversation.cards.card import Card, shortened
from relay_gguf.conversation.dialogue import Dialogue
from relay_gguf.conversation.events import Notice
from relay_gguf.conversation.generator import Generator
from relay_gguf.conversation.session import Session
from relay_gguf.errors import CardError

FLAT = {
    "name": "Mia",
    "description": "{{char}} is 34,\n a lighthouse keeper. {{// secret}}She knows {{User}}.",
    "personality": "Hates fog.",
    "scenario": "<USER> rows to the island of <BOT>.",
    "first_mes": "*waves*",
    "mes_example": "",
}
BIO = "I'm Mia. user is 34, a lighthouse keeper. She knows anon. Hates fog."
TOPIC = "anon rows to the island of user."
V2 = {"spec": "chara_card_v2", "spec_version": "2.0", "data": FLAT, "name": "old"}
V3 = {"spec": "chara_card_v3", "data": {**FLAT, "nickname": "Mia", "name": "Maria"}}


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(*chunks: bytes) -> bytes:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(b"\0\0"))
    return b"".join([png_text.SIGNATURE, head, *chunks, pixels, chunk(b"IEND", b"")])


def coded(card: object) -> bytes:
    return b64encode(json.dumps(card).encode())


def text(card: object, keyword: bytes = b"chara") -> bytes:
    return chunk(b"tEXt", keyword + b"\0" + coded(card))


OLD = text({**FLAT, "name": "Old"})
FILES = {
    "v1.json": json.dumps(FLAT).encode(),
    "v2.json": b"\xef\xbb\xbf" + json.dumps(V2).encode(),
    "v3.JSON": json.dumps(V3).encode(),
    "v2.png": png(text(V2)),
    "both.png": png(OLD, text(V3, b"ccv3")),
    "z.png": png(chunk(b"zTXt", b"Chara\0\0" + zlib.compress(coded(V2)))),
    "i.png": png(chunk(b"iTXt", b"chara\0\0\0en\0ch\0" + coded(V2))),
    "other.png": png(chunk(b"zTXt", b"note\0\0" + b"bomb"), text(V2), text({"name": "second"})),
    "iz.png": png(chunk(b"iTXt", b"ccv3\0\1\0\0\0" + zlib.compress(coded(V3)))),
}


@pytest.mark.parametrize("name", FILES)
def test_each_form_of_card_is_read(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(FILES[name])
    card = read_card(tmp_path / name)
    assert (card.bio(), card.topic()) == (BIO, TOPIC)
    assert card.left_out == ("greeting",)
    assert card.bio(model="Mia", human="Bo").startswith("I'm Mia. Mia is 34, ")


BOMB = zlib.compress(b"a" * (png_text.MAX_TEXT + 1))
BAD: dict[str, tuple[bytes, str]] = {
    "cut.png": (FILES["v2.png"][:100], "the image is cut off; get the file again"),
    "head.png": (FILES["v2.png"][:8], "the image is cut off; get the file again"),
    "crc.png": (FILES["v2.png"].replace(b"chara\0", b"charA\0"), "a text in it is damaged"),
    "huge.png": (png(b"\x7f\xff\xff\xfftEXtchara\0"), "a text in it has 2147483647 bytes"),
    "bomb.png": (png(chunk(b"iTXt", b"chara\0\1\0\0\0" + BOMB)), "longer than 16777216 bytes"),
    "zbomb.png": (png(chunk(b"zTXt", b"chara\0\0" + BOMB)), "longer than 16777216 bytes"),
    "zcut.png": (png(chunk(b"zTXt", b"chara\0\0" + BOMB[:90])), "compressed text in it is cut"),
    "zbad.png": (png(chunk(b"zTXt", b"chara\0\0no")), "a compressed text in it is damaged"),
    "many.png": (png(chunk(b"xxxx", b"") * 9), "the image has more than 8 chunks"),
    "b64.png": (png(chunk(b"tEXt", b"chara\0{not base64}")), "its text chara is not base64"),
    "list.png": (png(text([])), "its text chara has no character's name and description"),
    "deep.json": (b"[" * 200_000, "its JSON is nested too deeply"),
    "long.json": (b'{"name": ' + b"1" * 5000 + b"}", "a number in its JSON is too long"),
    "half.json": (FILES["v1.json"][:50], "it is not JSON (line 1, column "),
    "utf16.json": ('{"name": "é"}'.encode("utf-16"), "it is not JSON in UTF-8"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_with_a_file_is_told_in_a_line(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, why = BAD[name]
    if name == "many.png":
        monkeypatch.setattr(png_text, "MAX_CHUNKS", 8)
    (tmp_path / name).write_bytes(data)
    with pytest.raises(CardError) as caught:
        read_card(tmp_path / name)
    assert str(caught.value).startswith(f"Cannot read {name} as a character card: ")
    assert why in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "data", "why"),
    [
        ("cat.png", png(), "cat.png is not a character card"),
        ("photo.png", b"\xff\xd8\xff", "photo.png is not a character card"),
        ("package.json", b'{"name": "left-pad"}', "package.json is not a character card"),
        ("none.png", None, "Cannot read none.png as a character card: No such file"),
    ],
)
def test_a_file_that_is_something_else_is_refused(
    name: str, data: bytes | None, why: str, tmp_path: Path
) -> None:
    if data is not None:
        (tmp_path / name).write_bytes(data)
    with pytest.raises(CardError, match=why):
        read_card(tmp_path / name)


# In a chat


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("v2.png", "v1.json"):
        (tmp_path / name).write_bytes(FILES[name])
    (tmp_path / "my card.png").write_bytes(FILES["v2.png"])
    (tmp_path / "cat.png").write_bytes(png())
    (tmp_path / "cut.png").write_bytes(BAD["cut.png"][0])
    return tmp_path


def session(topic: str = "", cast: str = "", n_ctx: int = 4096) -> Session:
    dialogue = Dialogue(Generator(FakeEngine(n_ctx=n_ctx), SamplingParams(seed=1)))
    made = Session(dialogue, reads_cards=True)
    deque(made.start(topic, cast), maxlen=0)
    return made


@pytest.mark.parametrize("typed", ["v2.png", "./v1.json", "'my card.png'", "my\\ card.png"])
def test_a_card_is_cast(typed: str, folder: Path) -> None:
    chat = session()
    *_, notice = run(chat, f"/cast {typed}")
    assert (chat.transcript.bio, chat.transcript.topic) == (BIO, TOPIC)
    assert isinstance(notice, Notice)
    assert notice.text.startswith("* user is Mia now, from ")
    assert notice.text.endswith(", and the topic is its scenario. Left out: greeting.")
    run(chat, "/undo")
    assert (chat.transcript.bio, chat.transcript.topic) == ("", TOPIC)


@pytest.mark.parametrize(
    ("typed", "notice"),
    [
        ("a pirate", ""),
        ("I drew cat.png", ""),
        ("v2.png.", ""),
        ("cat.png", "* cat.png is not a character card: its name is the bio now."),
        ("none.json", "* none.json is not a file here: its name is the bio now."),
        ("\0.png", "* \0.png is not a file here"),
        ("x" * 300 + ".png", "* xxx"),
    ],
)
def test_everything_else_is_cast_to_the_letter(typed: str, notice: str, folder: Path) -> None:
    chat = session()
    events = run(chat, f"/cast {typed}")
    assert chat.transcript.bio == typed
    told = "".join(event.text for event in events if isinstance(event, Notice))
    assert told.startswith(notice)
    assert bool(told) == bool(notice)


def test_a_damaged_card_changes_nothing(folder: Path) -> None:
    chat = session()
    (notice,) = run(chat, "/cast cut.png")
    assert isinstance(notice, Notice)
    assert notice.text.startswith("* Cannot read cut.png as a character card: the image is cut")
    assert chat.transcript.bio == ""


def test_a_topic_that_was_asked_for_stays(folder: Path) -> None:
    chat = session("weather", "v2.png")
    assert (chat.transcript.bio, chat.transcript.topic) == (BIO, "weather")
    assert session("", "v2.png").transcript.topic == TOPIC


def test_files_are_read_only_where_a_front_end_says_so(folder: Path) -> None:
    """In an IRC network, those who type are not those whose files they are."""
    chat = fake_session()
    run(chat, "/cast v2.png")
    assert chat.transcript.bio == "v2.png"


def test_a_long_card_leaves_room_to_talk(folder: Path) -> None:
    long = {"name": "Mia", "description": "I talk. " * 5000, "scenario": "海" * 5000}
    (folder / "long.json").write_text(json.dumps(long))
    chat = session(n_ctx=1024)
    *_, notice = run(chat, "/cast long.json")
    assert len(chat.transcript.bio) <= 256
    assert chat.transcript.bio.endswith("talk.")
    assert 32 <= len(chat.transcript.topic.encode()) <= 64
    assert isinstance(notice, Notice)
    assert "The bio is cut" in notice.text
    run(chat, "hi")
    assert chat.transcript.context[-1].content == "ok"


@pytest.mark.parametrize(
    ("text", "n_chars", "kept"),
    [
        ("One. Two three", 20, "One. Two three"),
        ("One two. Three", 12, "One two."),
        ("A. One two three", 12, "A. One two"),
        ("One two three", 7, "One two"),
        ("Onetwothree", 5, "Onetw"),
        ("One", 0, ""),
    ],
)
def test_what_is_too_long_is_cut_where_it_hurts_least(text: str, n_chars: int, kept: str) -> None:
    assert shortened(text, lambda text: len(text) <= n_chars) == kept


def test_a_bio_for_python_has_a_limit_too() -> None:
    assert len(Card("Mia", "word " * 5000).bio()) <= 4000
