"""Each filter on hand-made scenes: what it finds, and what it takes for bad that is good.

`python -m pytest -n0 -s tests/synth/test_filters.py` prints the table.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from types import ModuleType

import pytest
from made_up_scenes import bad_scenes, good_scenes, later_scenes, raw_scene

from relay_gguf.conversation.messages import Message
from relay_gguf.errors import SettingsError
from relay_gguf.synth.filters.language import foreign, unknown_words
from relay_gguf.synth.filters.likelihood import outside_band
from relay_gguf.synth.filters.near_duplicates import NearDuplicates, grams_of, jaccard
from relay_gguf.synth.filters.repetition import is_repetitive
from relay_gguf.synth.filters.sieve import sift
from relay_gguf.synth.filters.thresholds import FILTERS, Thresholds

ALONE = Thresholds(frozenset({"likelihood"}))


@pytest.fixture
def no_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither py3langid nor wordfreq is installed."""
    for name in ("py3langid", "wordfreq"):
        monkeypatch.setitem(sys.modules, name, None)


@pytest.fixture
def frequencies(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for wordfreq: words of the good scenes are frequent."""
    known = {w for scene in good_scenes() for w in scene.text.replace(",", " ").lower().split()}
    module = ModuleType("wordfreq")
    module.zipf_frequency = (  # type: ignore[attr-defined]
        lambda word, language: 4.0 if {word, f"{word}?", f"{word}."} & known else 1.0
    )
    module.available_languages = lambda: {"en": ""}  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "wordfreq", module)


@pytest.mark.usefixtures("no_libraries")
def test_each_filter_finds_its_bad_scenes_and_leaves_the_good_ones() -> None:
    bad, good = bad_scenes(), sift(good_scenes(), ALONE)
    rows = []
    for name, scenes in bad.items():
        if name in good.notes and good.notes[name].startswith("not run"):
            continue
        found = sift(scenes, ALONE).found[name]
        wanted = len(scenes) - (name == "duplicates")  # the first one is kept
        rows.append((name, found, wanted, good.found[name], good.total))
    sys.stdout.write("\nfilter        found  of    false alarms  of\n")
    for name, found, wanted, alarms, total in rows:
        sys.stdout.write(f"{name:<12}{found:>7}{wanted:>4}{alarms:>16}{total:>4}\n")
    assert {name for name, *_ in rows} == set(FILTERS) - {"likelihood", "words"}
    assert [(name, found) for name, found, wanted, *_ in rows if found != wanted] == []
    assert [(name, alarms) for name, _, _, alarms, _ in rows if alarms] == []
    assert len(good.kept) == good.total


@pytest.mark.usefixtures("no_libraries")
def test_scenes_that_were_written_later_are_mostly_told_apart_too() -> None:
    """These were made when the filters stood, which then found 27 of 30 and took 1 of 12 for bad.

    One in Chinese and one that is a part of what was said before were mended since.
    """
    good = sift(later_scenes(), ALONE)
    bad = bad_scenes("bad_later.txt")
    missed = {name: len(scenes) - sift(scenes, ALONE).found[name] for name, scenes in bad.items()}
    assert {name: n for name, n in missed.items() if n} == {"echo": 1}
    assert sum(map(len, bad.values())) == 30
    assert {name: n for name, n in good.found.items() if n} == {"repetition": 1}


@pytest.mark.usefixtures("frequencies")
def test_rare_words_are_found_where_wordfreq_is_installed() -> None:
    rare, note = unknown_words("en", 0.9)
    assert note == "by wordfreq"
    assert rare is not None
    assert all(rare(scene.text) for scene in bad_scenes()["words"])
    assert not any(
        rare(scene.text.replace("<anon>", "").replace("<user>", "")) for scene in good_scenes()
    )
    assert unknown_words("tlh", 0.9) == (None, "not run: wordfreq does not know the language tlh")


@pytest.mark.usefixtures("no_libraries")
def test_what_is_not_installed_is_told() -> None:
    judge, note = unknown_words("en", 0.9)
    assert judge is None
    assert note == "not run: wordfreq is not installed (pip install 'relay-gguf[synth]')"
    assert foreign("en")[1] == "by common words; py3langid is not installed"
    with pytest.raises(SettingsError, match=r"--language de needs py3langid"):
        foreign("de")


def test_a_language_is_told_by_py3langid_where_it_is_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = ModuleType("py3langid")
    module.rank = lambda text: [("en", 0.0), ("de", -1.0)]  # type: ignore[attr-defined]
    module.classify = lambda text: ("de" if "ich" in text else "en", 0.0)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "py3langid", module)
    german, note = foreign("de")
    assert note == "by py3langid"
    assert [german("wo war ich denn nur die ganze lange zeit"), german("ja")] == [False, False]
    assert german("where have you been all the long time")
    with pytest.raises(SettingsError, match="py3langid knows de, en"):
        foreign("xx")


@pytest.mark.parametrize("name", FILTERS)
def test_each_filter_can_be_switched_off(name: str) -> None:
    scenes = bad_scenes().get(name, [raw_scene("<anon> a\n<user> b")])
    off = sift(scenes, replace(ALONE, without=frozenset(FILTERS)))
    assert len(off.kept) == len(scenes)
    assert not off.found
    assert off.notes == dict.fromkeys(FILTERS, "off")


def test_a_scene_is_dropped_once_and_found_by_each() -> None:
    scene = raw_scene("<anon> hi\n<user> see www.example.org, as an AI i like it")
    result = sift([scene], ALONE)
    assert result.dropped == {"structure": 1, "duplicates": 0}
    assert {name for name, n in result.found.items() if n} == {"structure", "links", "assistant"}


def test_the_kinds_of_secrets_are_counted() -> None:
    result = sift(bad_scenes()["secrets"], ALONE)
    kinds = {"passwords": 1, "emails": 1, "phones": 1, "cards": 1, "keys": 1, "addresses": 1}
    assert dict(result.secrets) == kinds


def test_likelihood_drops_both_ends_in_whole_scenes() -> None:
    assert outside_band([-1, -5, -2, -9], likeliest=0.25, unlikeliest=0.5) == {0, 3, 1}
    assert outside_band([-1, -2, -3], likeliest=0.3, unlikeliest=0.3) == set()
    assert outside_band([], likeliest=0.5, unlikeliest=0.5) == set()
    scenes = [replace(scene, logprob=-scene.number) for scene in good_scenes()]
    at = Thresholds(drop_likeliest=0.1, drop_unlikeliest=0.05)
    kept = {scene.number for scene in sift(scenes, at).kept}
    n = len(scenes)
    assert kept == {*range(n // 10, n - n // 20)}


def test_gophers_shares_can_be_stretched() -> None:
    lines = ["one two three"] * 2 + ["four five"]
    assert is_repetitive(lines)
    assert not is_repetitive(lines, allowed=20)
    assert not is_repetitive([], allowed=1)
    assert not is_repetitive(["?", "!"])


def test_near_duplicates_are_judged_by_the_share_of_grams_in_common() -> None:
    words = [f"word{'abcdefghij'[n % 10]}{'klmnopqrst'[n // 10]}" for n in range(64)]
    text = " ".join(words)
    for n_changed in range(0, 30, 3):
        other = " ".join([*words[: 64 - n_changed], *(f"new{w}" for w in words[64 - n_changed :])])
        share = jaccard(grams_of(text), grams_of(other))
        known = NearDuplicates(0.8)
        assert not known.add(text)
        assert known.add(other) is (share >= 0.8), n_changed
    assert NearDuplicates(0.8).add("") is False


def test_thresholds_outside_their_range_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"--max-echo is 2; it must be 0 to 1\."):
        Thresholds(max_echo=2)
    with pytest.raises(SettingsError, match=r"There is no filter 'toxic'\. Filters: structure"):
        Thresholds(frozenset({"toxic"}))


def test_lines_of_one_person_are_one_message_and_actions_stay_alone() -> None:
    scene = raw_scene("<anon> a\n<anon> b\n* user waves\n<user> hi\n* user slaps anon")
    assert scene.talk == (
        Message("anon", "a\nb"),
        Message("user", "/me waves"),
        Message("user", "hi"),
        Message("user", "/me slaps anon"),
    )
