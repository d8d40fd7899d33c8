"""The front matter of a model card, and texts of a file that are only texts on the page."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from published_folders import entry
from tiny_gguf import good_keys, write

from relay_gguf.convert.publish.modelcard import code, escaped, front_matter, page

HUB = "https://huggingface.co/"


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"general.license": "Apache-2.0"}, {"license": "apache-2.0"}),
        (
            {"general.license": "other", "general.license.name": "mine"}
            | {"general.license.link": "https://example.org/l"},
            {
                "license": "other",
                "license_name": "mine",
                "license_link": "https://example.org/l",
            },
        ),
        (
            {"general.license": "Ask me"},
            {"license": "other", "license_name": "Ask me", "license_link": None},
        ),
        (
            {
                "general.base_model.count": 2,
                "general.base_model.1.repo_url": f"{HUB}o/second",
                "general.dataset.count": 2,
                "general.dataset.0.repo_url": f"{HUB}datasets/o/chats",
                "general.dataset.1.name": "Nowhere",
            },
            {"base_model": ["o/tiny", "o/second"], "datasets": ["o/chats"]},
        ),
        (
            {"relay.adapter": "", "relay.source": "o/whole"},
            {"base_model": "o/whole", "base_model_relation": "quantized"},
        ),
        ({"relay.adapter": "", "relay.source": "folder"}, {"base_model": "o/tiny"}),
        (
            {"general.tags": ["text-generation", "gguf", "fun"]},
            {"tags": ["gguf", "relay-gguf", "relay", "irc", "fun"]},
        ),
        ({"general.languages": []}, {}),
    ],
)
def test_the_front_matter_has_license_origin_and_tags(
    keys: dict[str, Any], expected: dict[str, Any], tmp_path: Path
) -> None:
    write(tmp_path / "x.gguf", good_keys() | keys)
    found = front_matter([entry(tmp_path, "x.gguf")])
    assert {name: found.get(name) for name in expected} == expected
    assert found["pipeline_tag"] == "text-generation"
    assert all(found.get(name, "there") for name in ("language", "datasets", "base_model"))
    if "relay.source" in keys and "o/" not in keys["relay.source"]:
        assert "base_model_relation" not in found


def test_licenses_that_differ_are_left_out(tmp_path: Path) -> None:
    for name in ("mit", "apache-2.0"):
        write(tmp_path / f"{name}.gguf", good_keys() | {"general.license": name})
    found = [entry(tmp_path, f"{name}.gguf") for name in ("mit", "apache-2.0")]
    assert "license" not in front_matter(found)


EVIL = "a|b <script> `x` [l](http://e) *s*\n---\n# Title\x1b[2J \udcff"


@pytest.mark.skipif(sys.platform == "win32", reason="no file can have such a name")
def test_text_of_a_file_is_only_text_on_the_page(tmp_path: Path) -> None:
    names = (
        *("general.name", "general.author", "general.url", "general.description"),
        *("general.license", "general.license.link", "general.quantized_by"),
        *("relay.source", "relay.adapter", "relay.adapter_sha256", "relay.merge_base"),
        *("general.sampling.sequence", "general.base_model.0.repo_url"),
    )
    keys = dict.fromkeys(names, EVIL)
    path = write(tmp_path / "x`|y;$(z).gguf", good_keys() | keys | {"general.tags": [EVIL]})
    text = page([entry(tmp_path, path.name, imatrix=EVIL, encoders=EVIL, moved={EVIL: 1.0})])
    assert not set(text) & set("\x1b\udcff")
    front, _, body = text.removeprefix("---\n").partition("\n---\n")
    assert set(yaml.safe_load(front)) == {
        *("license", "license_name", "language", "pipeline_tag", "tags", "quantized_by")
    }
    assert [line for line in body.splitlines() if line.startswith("#")] == [
        f"# {escaped(EVIL)}, in GGUF",
        "## Files",
        "## Run",
        "## How they were made",
    ]
    (row,) = [line for line in body.splitlines() if line.startswith("| x")]
    assert row.replace("\\|", "").count("|") == 7
    assert "<script>" not in body.replace("\\<script", "")
    assert "](http://e)" not in body.replace("\\](http", "")
    assert "relay-gguf chat 'x`|y;$(z).gguf'" in body


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain text.", "plain text."),
        ("- no list", "\\- no list"),
        ("1. no list", "1\\. no list"),
        ("a\n\n# b", "a \\# b"),
        ("<b>&amp;~x~", "\\<b\\>\\&amp;\\~x\\~"),
    ],
)
def test_text_is_escaped_for_markdown(text: str, expected: str) -> None:
    assert escaped(text) == expected


def test_plain_names_are_shown_as_code() -> None:
    assert code("a-b_c.gguf") == "`a-b_c.gguf`"
    assert code("a`b") == "a\\`b"
