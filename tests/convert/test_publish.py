"""The folder for the hub: its page to the letter, its checksums, and what is sent."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from hashlib import sha1, sha256
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from conversions import Pair, converted, request
from hf_models import write_adapter
from tiny_gguf import good_keys, tensors, write
from typer.testing import CliRunner
from upload_server import Handler, taking

from relay_gguf import __version__
from relay_gguf.apps.lmstudio import preset_json
from relay_gguf.cli.convert.publish import card as card_command
from relay_gguf.cli.convert.publish import upload as upload_command
from relay_gguf.convert.metadata import MetadataOverride
from relay_gguf.convert.publish.folder import read_sums, sums_text, write_folder, written_lines
from relay_gguf.convert.publish.modelcard import PublishedType, code, escaped, front_matter, page
from relay_gguf.convert.publish.upload import UploadPlan, plan_lines, plan_upload, upload
from relay_gguf.errors import ConversionError, ModelError, RelayError, SettingsError
from relay_gguf.gguf_file.gguf_model import read_gguf
from relay_gguf.hub import api as hub

Folder = Callable[..., Path]
"""Makes a folder as a conversion leaves it."""


def report_of(paths: list[Path], **changes: Any) -> dict[str, Any]:
    """What a conversion notes of its files."""
    files = [
        {"name": p.name, "bytes": p.stat().st_size, "sha256": sha256(p.read_bytes()).hexdigest()}
        for p in paths
    ]
    return {
        "type": "Q8_0",
        "files": files,
        "made_by": "relay-gguf 0.1.0",
        "encoders": "llama-cpp-python 0.3.36",
        "origin": {},
        "imatrix": None,
        "notes": [],
        "verified": {"read_back": "yes", "opened_by_llama_cpp": True, "texts_tokenized_alike": 5},
        "error": 0.0051839,
        "merge": {"attn_q": {"tensors": 1, "moved": 0.0107}, "ffn_up": {"moved": 0.0168}},
        **changes,
    }


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """A folder with the files of some types, and a report of each."""
    out = tmp_path / "models"

    def make(*ftypes: str, keys: Mapping[str, Any] | None = None, **changes: Any) -> Path:
        out.mkdir(exist_ok=True)
        for ftype in ftypes:
            number = {"F16": 1, "Q8_0": 7, "Q4_K_M": 15, "Q2_K": 10}[ftype]
            given = good_keys() | {"general.file_type": number} | dict(keys or {})
            path = write(out / f"tiny-{ftype}.gguf", given, lacking=-32 * number)
            save_report(path, type=ftype, **changes)
        return out

    return make


def save_report(path: Path, **changes: Any) -> None:
    report = json.dumps(report_of([path], **changes))
    path.with_name(path.stem + ".report.json").write_text(report, "utf-8")


def readme(out: Path) -> str:
    return (out / "README.md").read_text("utf-8")


PAGE = """\
---
license: cc-by-nc-4.0
base_model: o/tiny
base_model_relation: finetune
language:
- en
- de
pipeline_tag: text-generation
tags:
- gguf
- relay-gguf
- relay
- irc
quantized_by: relay-gguf 0.1.0
---

<!-- relay-gguf made this page: it is written anew with each conversion, unless you take this line \
out. -->

# Tiny Relay, in GGUF

The model is by Nobody. Its license is cc-by-nc-4.0.

## Files

| file | type | size | bits per weight | memory | error |
|---|---|---:|---:|---:|---:|
| `tiny-Q4_K_M.gguf` | Q4_K_M | {sizes[0]} | 31.39 | 158 MB | 3.65% |
| `tiny-Q8_0.gguf` | Q8_0 | {sizes[1]} | 31.39 | 158 MB | 0.52% |

Memory is about what a chat with a context of 4096 tokens takes. The error is how far the weights \
are from the model in 32 bits, relative to it, as measured while they were written. `sha256sum -c \
--ignore-missing SHA256SUMS` checks the files.

## Run

Commands such as `/join #boston`, `/cast I'm a pirate` and `/slap` work in each of these programs, \
typed as messages: the chat template in the file knows them.

The files bring their sampling defaults: temperature 0.3, top-k 40, repetition penalty 1.1, \
penalty window 4096.

relay-gguf, a chat in the terminal:

```bash
relay-gguf chat tiny-Q4_K_M.gguf
```

LM Studio takes the chat template from the file, but does not seem to read its sampling defaults: \
`--preset` adds the preset Relay, which sets them. `lm_studio_preset.json` is the same preset:

```bash
relay-gguf lmstudio install tiny-Q4_K_M.gguf --preset
```

llama.cpp, for any client of OpenAI's API at http://127.0.0.1:8080/v1:

```bash
llama-server -m tiny-Q4_K_M.gguf -c 4096
```

Ollama 0.30 or newer:

```bash
relay-gguf ollama modelfile tiny-Q4_K_M.gguf --create
```

## How they were made

The adapter [o/tiny-relay](https://huggingface.co/o/tiny-relay) was merged into \
[o/tiny](https://huggingface.co/o/tiny) as QLoRA training saw it (NF4 with double quantization). \
The files were written by relay-gguf 0.1.0 with the encoders of llama-cpp-python 0.3.36. The \
adapter moved `attn_q` by 1.1%, `ffn_up` by 1.7%.

Each file was read back from the disk and opened by llama.cpp. llama.cpp cut 5 texts into the same \
tokens as the model's own tokenizer. `*.report.json` has the error of every tensor.
"""


def test_the_model_card_of_a_folder(folder: Folder) -> None:
    folder("Q4_K_M", error=0.03652495)
    out = folder("Q8_0")
    written = write_folder(out)
    n_bytes = [(out / f"tiny-{ftype}.gguf").stat().st_size for ftype in ("Q4_K_M", "Q8_0")]
    assert readme(out) == PAGE.format(sizes=[f"{-(-n // 1000)} KB" for n in n_bytes])
    assert written.names == ("SHA256SUMS", "lm_studio_preset.json", "README.md")
    assert list(written_lines(written, out)) == [
        f"{out} has SHA256SUMS, lm_studio_preset.json, README.md."
    ]
    assert (out / "lm_studio_preset.json").read_text("utf-8") == preset_json()
    assert {path.name for path in out.iterdir() if path.suffix not in (".gguf", ".json")} == {
        "README.md",
        "SHA256SUMS",
    }


COMMANDS = {
    "": [
        "relay-gguf chat tiny-Q4_K_M.gguf",
        "relay-gguf lmstudio install tiny-Q4_K_M.gguf --preset",
        "llama-server -m tiny-Q4_K_M.gguf -c 4096",
        "relay-gguf ollama modelfile tiny-Q4_K_M.gguf --create",
    ],
    "o/r": [
        "relay-gguf chat o/r:Q4_K_M",
        "relay-gguf lmstudio install o/r:Q4_K_M --preset",
        "llama-server -hf o/r:Q4_K_M -c 4096",
        "relay-gguf ollama modelfile o/r:Q4_K_M --create",
    ],
}


def commands(text: str) -> list[str]:
    """The code blocks of a page."""
    return [part.partition("\n```")[0] for part in text.split("```bash\n")[1:]]


def entry(out: Path, *names: str, **changes: Any) -> PublishedType:
    facts = read_gguf(out / names[0])
    return replace(PublishedType(facts.ftype, names, facts, 0.01, {}, 5), **changes)


@pytest.mark.parametrize("repo", list(COMMANDS))
def test_the_model_card_has_a_command_for_each_program(repo: str, folder: Folder) -> None:
    out = folder("F16", "Q4_K_M")
    found = [entry(out, f"tiny-{ftype}.gguf") for ftype in ("F16", "Q4_K_M")]
    assert commands(page(found, repo)) == COMMANDS[repo]


def test_commands_name_the_file_where_its_name_has_no_type(tmp_path: Path) -> None:
    write(tmp_path / "a b.gguf")
    found = [entry(tmp_path, "a b.gguf")]
    assert commands(page(found, "o/r")) == [
        "relay-gguf chat 'o/r/a b.gguf'",
        "relay-gguf lmstudio install 'o/r/a b.gguf' --preset",
        "hf download o/r 'a b.gguf' --local-dir .\nllama-server -m 'a b.gguf' -c 4096",
        "relay-gguf ollama modelfile 'o/r/a b.gguf' --create",
    ]


def test_commands_download_all_shards(tmp_path: Path) -> None:
    names = [f"x-F16-{n:05d}-of-00002.gguf" for n in (1, 2)]
    write(tmp_path / names[0])
    text = page([entry(tmp_path, *names)], "o/r")
    fetch = f"hf download o/r {names[0]} {names[1]} --local-dir .\n"
    assert commands(text) == [
        f"{fetch}relay-gguf chat {names[0]}",
        f"{fetch}relay-gguf lmstudio install {names[0]} --preset",
        f"{fetch}llama-server -m {names[0]} -c 4096",
    ]
    assert f"| `{names[0]}` and 1 more part |" in text


def test_a_model_that_is_not_relay_has_no_word_of_relay(folder: Folder) -> None:
    out = folder("Q8_0", keys={"tokenizer.chat_template": "{{ messages }}"})
    assert write_folder(out).names == ("SHA256SUMS", "README.md")
    text = readme(out)
    assert "Commands such as" not in text
    assert "preset" not in text
    assert "relay" not in yaml.safe_load(text.split("---")[1])["tags"]


def test_the_card_says_what_was_not_checked_or_measured(folder: Folder) -> None:
    nothing = {"attn_q": {"moved": None}}
    out = folder("Q8_0", verified=None, error=None, merge=nothing, imatrix="data.imatrix")
    write_folder(out)
    text = readme(out)
    assert "| 158 MB |  |" in text
    assert text.endswith("\n\nNot checked: `tiny-Q8_0.gguf`.\n")
    assert "`tiny-Q8_0.gguf` was made with the importance matrix `data.imatrix`." in text
    assert "moved" not in text
    folder("Q2_K")
    write_folder(out)
    text = readme(out)
    assert "\n\n`tiny-Q2_K.gguf` was read back from the disk" in text
    assert text.endswith("\n\nNot checked: `tiny-Q8_0.gguf`.\n")


def test_a_model_without_an_author_has_no_line_for_one(folder: Folder) -> None:
    text = page([entry(folder("Q8_0", keys={"general.author": ""}), "tiny-Q8_0.gguf")])
    assert "\n\nThe model's license is cc-by-nc-4.0.\n\n" in text


@pytest.mark.parametrize("with_adapter", [True, False])
def test_the_card_names_a_quantized_base(
    with_adapter: bool, pico_mistral: Pair, tmp_path: Path
) -> None:
    ((base,),) = converted(request(pico_mistral.base, "Q4_1"), tmp_path / "base").values()
    adapter = write_adapter(tmp_path / "lora", pico_mistral.base) if with_adapter else None
    out = tmp_path / "out"
    converted(request(base, "Q8_0", adapter=adapter, allow_requantize=True), out)
    write_folder(out)
    story = readme(out).partition("## How they were made\n\n")[2]
    first, _, rest = story.partition(". ")
    ending = f" was merged into `{base.name}`" if with_adapter else " are those of `Pico-Mistral`"
    assert first.endswith(ending)
    assert rest.startswith(
        "The files were made from a GGUF file that was quantized already (`Q4_1`), and the errors "
        "of that are in them too. The files were written by relay-gguf "
    )


def test_the_card_names_the_files_that_were_checked(folder: Folder) -> None:
    out = folder("F16", "Q8_0", "Q2_K")
    found = [entry(out, f"tiny-{ftype}.gguf", alike=0) for ftype in ("F16", "Q8_0")]
    text = page([*found, entry(out, "tiny-Q2_K.gguf", alike=None)])
    assert (
        "\n\n`tiny-F16.gguf`, `tiny-Q8_0.gguf` were read back from the disk and opened by "
        "llama.cpp. `*.report.json` has"
    ) in text


# The front matter


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


# A folder that is there


def test_nothing_changes_the_second_time(folder: Folder) -> None:
    out = folder("Q8_0")
    write_folder(out)
    before = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    write_folder(out)
    assert {path: path.stat().st_mtime_ns for path in out.iterdir()} == before


def test_a_second_conversion_adds_its_files(folder: Folder) -> None:
    out = folder("Q8_0")
    write_folder(out)
    folder("F16", "Q2_K")
    write_folder(out)
    rows = [line.split("`")[1] for line in readme(out).splitlines() if line.startswith("| `")]
    assert set(rows) == {"tiny-Q8_0.gguf", "tiny-F16.gguf", "tiny-Q2_K.gguf"}
    assert set(read_sums(out)) == set(rows)


def test_a_page_of_someone_else_stays(folder: Folder) -> None:
    out = folder("Q8_0")
    (out / "README.md").write_bytes(b"# Mine\xff\r\n")
    (out / "lm_studio_preset.json").write_text('{"identifier": "@local:mine"}')
    written = write_folder(out)
    assert (out / "README.md").read_bytes() == b"# Mine\xff\r\n"
    assert (out / "lm_studio_preset.json").read_text() == '{"identifier": "@local:mine"}'
    assert written.names == ("SHA256SUMS",)
    assert written.notes == (
        "lm_studio_preset.json is not relay-gguf's, and stays as it is.",
        "README.md is not relay-gguf's, and stays as it is.",
    )


def test_a_page_without_its_line_is_someone_elses(folder: Folder) -> None:
    out = folder("Q8_0")
    write_folder(out)
    lines = [line for line in readme(out).splitlines() if not line.startswith("<!--")]
    (out / "README.md").write_text("\n".join(lines))
    folder("F16")
    assert "README.md" not in write_folder(out).names
    assert readme(out) == "\n".join(lines)


def test_our_older_preset_is_replaced(folder: Folder) -> None:
    out = folder("Q8_0")
    (out / "lm_studio_preset.json").write_text('{"identifier": "@local:relay"}')
    write_folder(out)
    assert (out / "lm_studio_preset.json").read_text("utf-8") == preset_json()


def test_the_repository_of_a_page_stays(folder: Folder) -> None:
    out = folder("Q8_0")
    write_folder(out, "o/r")
    assert "<!-- relay-gguf made this page for o/r: it is" in readme(out)
    folder("Q4_K_M")
    write_folder(out)
    assert commands(readme(out)) == COMMANDS["o/r"]


@pytest.mark.parametrize(
    ("report", "why"),
    [
        ("{", "it is not a report of relay-gguf"),
        ("[1]", "it is not a report of relay-gguf"),
        ('{"files": [{"name": "../tiny-Q8_0.gguf"}]}', "it is not a report of relay-gguf"),
        ('{"files": []}', "it is not a report of relay-gguf"),
        ('{"files": [{"name": "none.gguf"}]}', "There is no file"),
        ('{"files": [{"name": "x.report.json"}]}', "is not a GGUF file"),
    ],
)
def test_files_that_are_not_reports_are_left_out(report: str, why: str, folder: Folder) -> None:
    out = folder()
    (out / "x.report.json").write_text(report)
    with pytest.raises(ConversionError, match=f"can be described. x.report.json.*{why}"):
        write_folder(out)
    folder("Q8_0")
    (note,) = write_folder(out).notes
    assert note.startswith("x.report.json was left out: ")
    assert why in note


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match=r"has no \*\.report\.json, which a conversion leav"):
        write_folder(tmp_path)


def test_a_folder_that_cannot_be_written_is_named(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = folder("Q8_0")

    def full(path: Path, data: bytes) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("relay_gguf.convert.publish.folder.write_whole", full)
    with pytest.raises(ConversionError, match=r"Cannot write .*SHA256SUMS: No space left"):
        write_folder(out)


# Checksums


@pytest.mark.skipif(
    sys.platform == "win32" or not shutil.which("sha256sum"), reason="needs sha256sum"
)
def test_sha256sum_reads_our_checksums(tmp_path: Path) -> None:
    names = ["a.gguf", "a b.gguf", "back\\slash.gguf", "line\nbreak.gguf", "ü.gguf", "*.gguf"]
    for name in names:
        (tmp_path / name).write_text(name)
    digests = {name: sha256(name.encode()).hexdigest() for name in names}
    (tmp_path / "SHA256SUMS").write_text(sums_text(digests), "utf-8")
    assert read_sums(tmp_path) == digests
    command = ["sha256sum", "--strict", "-c", "SHA256SUMS"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


def test_checksums_are_read_as_others_write_them(tmp_path: Path) -> None:
    digest = "AB" * 32
    lines = [f"{digest} *a.gguf", f"{digest}  b.gguf\r", "# no", f"{digest}  ../c", "ab  d", ""]
    (tmp_path / "SHA256SUMS").write_bytes("\n".join(lines).encode())
    assert read_sums(tmp_path) == {"a.gguf": "ab" * 32, "b.gguf": "ab" * 32}


def age(path: Path, seconds: int) -> None:
    when = path.stat().st_mtime_ns - seconds * 10**9
    os.utime(path, ns=(when, when))


def test_a_known_checksum_is_taken_only_if_it_is_newer_than_the_file(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of gigabytes is read again only where it may have changed."""
    read: list[str] = []

    def digest(path: Path) -> str:
        read.append(path.name)
        return sha256(path.read_bytes()).hexdigest()

    monkeypatch.setattr("relay_gguf.convert.publish.folder.digest", digest)
    out = folder("Q8_0")
    file, report = out / "tiny-Q8_0.gguf", out / "tiny-Q8_0.report.json"
    write_folder(out)
    assert read == [], "the report says it"
    write(file, good_keys() | {"general.name": "Other"})
    age(report, 20)
    age(out / "SHA256SUMS", 10)
    write_folder(out)
    assert read == ["tiny-Q8_0.gguf"], "it is newer than both"
    write_folder(out)
    assert read == ["tiny-Q8_0.gguf"], "SHA256SUMS is newer than the report, which is stale"
    assert read_sums(out) == {file.name: sha256(file.read_bytes()).hexdigest()}
    age(file, 30)
    age(out / "SHA256SUMS", 5)
    save_report(file)
    write_folder(out)
    assert read_sums(out) == {file.name: sha256(file.read_bytes()).hexdigest()}


def test_checksums_of_other_files_stay(folder: Folder) -> None:
    out = folder("Q8_0")
    (out / "other.bin").write_text("x")
    age(out / "other.bin", 10)
    (out / "SHA256SUMS").write_text(f"{'ab' * 32}  other.bin\n{'cd' * 32}  gone.bin\n")
    write_folder(out)
    assert list(read_sums(out)) == ["other.bin", "tiny-Q8_0.gguf"]
    assert read_sums(out)["other.bin"] == "ab" * 32


# A real conversion


def test_a_conversion_writes_the_card_and_checksums(pico_mistral: Pair, tmp_path: Path) -> None:
    about = MetadataOverride(
        {"license": "mit", "author": "Me"}, "o/base", ("o/data",), {"temperature": 0.3}
    )
    for ftype in ("Q8_0", "Q4_K_M"):
        wanted = request(pico_mistral.base, ftype, adapter=pico_mistral.adapter, metadata=about)
        converted(wanted, tmp_path)
        write_folder(tmp_path)
    front = yaml.safe_load(readme(tmp_path).split("---\n")[1])
    assert front["license"] == "mit"
    assert front["base_model"] == "o/base"
    assert front["datasets"] == ["o/data"]
    assert front["quantized_by"] == f"relay-gguf {__version__}"
    rows = [line for line in readme(tmp_path).splitlines() if line.startswith("| `")]
    assert [row.split("`")[1] for row in rows] == ["pico-relay-Q8_0.gguf", "pico-relay-Q4_K_M.gguf"]
    assert "The adapter `pico-relay` (SHA-256 `" in readme(tmp_path)
    assert "was merged into `Pico-Mistral`." in readme(tmp_path)
    assert read_sums(tmp_path) == {
        path.name: sha256(path.read_bytes()).hexdigest() for path in tmp_path.glob("*.gguf")
    }
    plan = plan_upload(tmp_path, "o/r")
    assert [item.name for item in plan.items][:2] == [
        "pico-relay-Q4_K_M.gguf",
        "pico-relay-Q8_0.gguf",
    ]


# Uploads


class Sender:
    """Takes what is sent."""

    def __init__(self) -> None:
        self.sent: dict[str, bytes] = {}
        self.said: tuple[str, bool, str] | None = None

    def __call__(self, repo: str, files: Mapping[str, Path], *, private: bool, message: str) -> str:
        self.sent = {name: path.read_bytes() for name, path in files.items()}
        self.said = (repo, private, message)
        return f"https://hub/{repo}/commit/1"


def states(plan: UploadPlan) -> dict[str, str]:
    return {item.name: item.state for item in plan.items}


@pytest.fixture
def ready(folder: Folder) -> Path:
    """A folder with its page, and things that do not belong to it."""
    out = folder("Q8_0", "Q4_K_M")
    write_folder(out, "o/r")
    (out / "LICENSE").write_text("terms")
    for name in (".relay-gguf-convert.journal", "x.gguf.partial", "y.relay-gguf-partial", ".git"):
        (out / name).write_text("unfinished")
    (out / "sub").mkdir()
    return out


NAMES = [
    *("tiny-Q4_K_M.gguf", "tiny-Q8_0.gguf", "LICENSE", "README.md", "SHA256SUMS"),
    *("lm_studio_preset.json", "tiny-Q4_K_M.report.json", "tiny-Q8_0.report.json"),
]
LEFT_OUT = (".git", ".relay-gguf-convert.journal", "sub", "x.gguf.partial", "y.relay-gguf-partial")


def test_everything_is_sent(ready: Path) -> None:
    plan, send = plan_upload(ready, "o/r"), Sender()
    assert states(plan) == dict.fromkeys(NAMES, "new")
    assert plan.left_out == LEFT_OUT
    assert upload(plan, send, private=True) == "https://hub/o/r/commit/1"
    assert list(send.sent) == NAMES
    n_bytes = sum((ready / name).stat().st_size for name in NAMES)
    assert plan.size == n_bytes
    message = f"8 files, {-(-n_bytes // 1000)} KB, by relay-gguf {__version__}"
    assert send.said == ("o/r", True, message)


def git_blob(data: bytes) -> str:
    return sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def test_files_on_the_hub_are_not_sent_again(ready: Path) -> None:
    data = {name: (ready / name).read_bytes() for name in NAMES}
    there = {
        "tiny-Q8_0.gguf": sha256(data["tiny-Q8_0.gguf"]).hexdigest(),
        "tiny-Q4_K_M.gguf": sha256(b"other").hexdigest(),
        "LICENSE": git_blob(data["LICENSE"]),
        "README.md": git_blob(b"other"),
        "removed.gguf": "00" * 32,
    }
    plan, send = plan_upload(ready, "o/r", there), Sender()
    assert states(plan) == dict.fromkeys(NAMES, "new") | {
        "tiny-Q8_0.gguf": "there",
        "tiny-Q4_K_M.gguf": "changed",
        "LICENSE": "there",
        "README.md": "changed",
    }
    upload(plan, send)
    assert set(send.sent) == set(NAMES) - {"tiny-Q8_0.gguf", "LICENSE"}
    everything = {name: sha256(content).hexdigest() for name, content in data.items()}
    plan, send = plan_upload(ready, "o/r", everything), Sender()
    assert upload(plan, send) == ""
    assert send.said is None


def test_the_page_gets_the_name_of_the_repository(ready: Path) -> None:
    before = readme(ready)
    plan, send = plan_upload(ready, "o/other"), Sender()
    assert readme(ready) == before, "a plan writes nothing"
    assert [item.size for item in plan.items if item.name == "README.md"] == [len(plan.page or b"")]
    upload(plan, send)
    assert readme(ready) == before.replace("o/r", "o/other")
    assert send.sent["README.md"] == (ready / "README.md").read_bytes()


def test_a_page_of_someone_else_is_sent_as_it_is(ready: Path) -> None:
    (ready / "README.md").write_text("mine")
    plan, send = plan_upload(ready, "o/other"), Sender()
    upload(plan, send)
    assert send.sent["README.md"] == b"mine"


def damage(out: Path) -> None:
    data = bytearray((out / "tiny-Q8_0.gguf").read_bytes())
    data[-9] ^= 1
    (out / "tiny-Q8_0.gguf").write_bytes(data)


def unlisted(out: Path) -> None:
    write(out / "more.gguf", infos=tensors())


def lost(out: Path) -> None:
    (out / "tiny-Q8_0.gguf").unlink()


def no_sums(out: Path) -> None:
    (out / "SHA256SUMS").unlink()


def no_page(out: Path) -> None:
    (out / "README.md").unlink()


def no_models(out: Path) -> None:
    for path in out.glob("*.gguf"):
        path.unlink()


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (damage, r"tiny-Q8_0\.gguf differs from its checksum in SHA256SUMS: damaged, or changed"),
        (unlisted, r"SHA256SUMS does not have more\.gguf\. `relay-gguf card .*` writes both anew"),
        (lost, r"SHA256SUMS lists tiny-Q8_0\.gguf, which is not there\. `relay-gguf card"),
        (no_sums, r"SHA256SUMS does not have tiny-Q4_K_M\.gguf, tiny-Q8_0\.gguf\. `relay-gguf"),
        (no_page, r"has no README\.md or no SHA256SUMS\. `relay-gguf card .*` writes both anew"),
        (no_models, r"has no GGUF file\. Give the --out of a conversion\."),
    ],
)
def test_a_folder_that_differs_from_its_checksums_is_not_sent(
    harm: Callable[[Path], None], message: str, ready: Path
) -> None:
    harm(ready)
    with pytest.raises(ConversionError, match=message):
        plan_upload(ready, "o/r")


def test_a_folder_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match=r"There is no folder .*none\."):
        plan_upload(tmp_path / "none", "o/r")


def test_every_byte_is_read_once(ready: Path) -> None:
    read: list[int] = []
    plan = plan_upload(ready, "o/r", None, read.append)
    assert sum(read) == plan.size


def test_a_plan_lists_the_files_and_their_states(ready: Path) -> None:
    plan = plan_upload(ready, "o/r", {"LICENSE": git_blob(b"terms"), "SHA256SUMS": "x"})
    lines = list(plan_lines(plan, compared=True))
    assert [line.split()[0] for line in lines[:-1]] == [item.state for item in plan.items]
    assert lines[2] == "there        1 KB  LICENSE"
    assert lines[4] == "changed      1 KB  SHA256SUMS"
    assert lines[-1] == "Left out: .git, .relay-gguf-convert.journal, sub and 2 more"
    lines = list(plan_lines(plan, compared=False))
    assert lines[0] == "The hub cannot be asked which of these files it has."
    assert lines[3] == "             1 KB  LICENSE"


# The commands


APP = typer.Typer()
APP.command()(card_command)
APP.command()(upload_command)


class FakeHub:
    """Stands for relay_gguf.hub.api."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.found: Any = None
        self.send = Sender()
        monkeypatch.setattr(hub, "remote", self.remote, raising=False)
        monkeypatch.setattr(hub, "send", self.send, raising=False)

    def remote(self, repo: str) -> Any:
        if isinstance(self.found, Exception):
            raise self.found
        return self.found


class Found:
    """A repository that is there."""

    def __init__(self, private: bool, digests: Mapping[str, str]) -> None:
        self.private = private
        self.digests = digests


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeHub:
    return FakeHub(monkeypatch)


def run(*arguments: str | Path, given: str = "") -> str:
    done = CliRunner().invoke(APP, [str(argument) for argument in arguments], input=given)
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.output


def test_a_dry_run_sends_nothing(ready: Path, fake: FakeHub) -> None:
    printed = run("upload", ready, "o/r", "--dry-run")
    assert printed.splitlines()[-1].startswith("Would send 8 files, ")
    assert printed.endswith(" KB to o/r, public.\n")
    assert run("upload", ready, "o/r", "--dry-run", "--private").endswith("o/r, private.\n")
    assert fake.send.said is None


def test_a_dry_run_does_not_need_the_hub(ready: Path, fake: FakeHub) -> None:
    fake.found = hub.UnreachableError("The hub is offline.")
    printed = run("upload", ready, "o/r", "--dry-run")
    assert printed.startswith("The hub cannot be asked which of these files it has.\n")
    assert "Would send 8 files" in printed
    with pytest.raises(ModelError, match="The hub is offline"):
        run("upload", ready, "o/r", "--yes")
    assert fake.send.said is None


def test_an_upload_tells_the_commit(ready: Path, fake: FakeHub) -> None:
    printed = run("upload", ready, "o/r", "--yes", "--private")
    assert printed.endswith("\nhttps://hub/o/r/commit/1\n")
    assert list(fake.send.sent) == NAMES
    digests = {name: sha256(data).hexdigest() for name, data in fake.send.sent.items()}
    fake.found = Found(True, digests)
    fake.send.said = None
    assert run("upload", ready, "o/r", "--yes").endswith("\no/r has all of it.\n")
    assert fake.send.said is None


@pytest.mark.parametrize(
    ("arguments", "found", "error", "message"),
    [
        (["o"], None, SettingsError, "'o' is not the name of a repository: "),
        (["o/r:Q8_0"], None, SettingsError, "'o/r:Q8_0' is not the name of a repository: "),
        (["./o/r"], None, SettingsError, "'./o/r' is not the name of a repository: "),
        (["o/r"], None, SettingsError, "There is no terminal to ask whether to send: give --yes"),
        (["o/r", "--private", "--yes"], Found(False, {}), ModelError, "o/r exists and is public."),
    ],
)
def test_an_upload_that_cannot_be_is_refused(
    arguments: list[str],
    found: Found | None,
    error: type[RelayError],
    message: str,
    ready: Path,
    fake: FakeHub,
) -> None:
    fake.found = found
    with pytest.raises(error) as raised:
        run("upload", ready, *arguments)
    assert str(raised.value).startswith(message)
    assert fake.send.said is None


@pytest.mark.parametrize(("answer", "sent"), [("y\n", True), ("n\n", False), ("\n", False)])
def test_a_person_is_asked_before_anything_is_sent(
    answer: str, sent: bool, ready: Path, fake: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay_gguf.cli.convert.publish._can_ask", lambda: True)
    printed = run("upload", ready, "o/r", given=answer)
    assert "KB to o/r, public? [y/N]: " in printed
    assert (fake.send.said is not None) == sent
    assert printed.endswith("Nothing was sent.\n") != sent


def test_the_card_command_writes_the_folder_anew(folder: Folder) -> None:
    out = folder("Q8_0")
    assert run("card", out) == f"{out} has SHA256SUMS, lm_studio_preset.json, README.md.\n"
    run("card", out, "--repo", "o/r")
    assert "relay-gguf chat o/r:Q8_0" in readme(out)
    with pytest.raises(SettingsError, match="'o' is not the name of a repository"):
        run("card", out, "--repo", "o")


# The hub's own library


needs_send = pytest.mark.skipif(not hasattr(hub, "send"), reason="hub.py cannot send yet")


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Handler]]:
    with taking(monkeypatch, str(tmp_path / "hf")) as handler:
        yield handler


def command(*arguments: str | Path) -> tuple[int, str, str]:
    """The upload command in a process of its own: the hub's library reads its settings once."""
    code = (
        "import sys, typer\nfrom relay_gguf.cli.convert.publish import upload\n"
        "from relay_gguf.errors import RelayError\n"
        "app = typer.Typer(pretty_exceptions_enable=False); app.command()(upload)\n"
        "try: app(sys.argv[1:])\nexcept RelayError as error: sys.exit(str(error))\n"
    )
    line = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(line, capture_output=True, encoding="utf-8", check=False)
    return done.returncode, done.stdout, done.stderr


@needs_send
def test_the_hub_gets_the_files(ready: Path, server: type[Handler]) -> None:
    status, printed, errors = command(ready, "o/r", "--yes", "--private")
    assert (status, printed.splitlines()[-1][-9:]) == (0, "d" * 9), errors
    repo = server.repos["o/r"]
    assert repo.private
    assert repo.files == {name: (ready / name).read_bytes() for name in NAMES}
    assert command(ready, "o/r", "--yes")[1].endswith("\no/r has all of it.\n")
    (ready / "LICENSE").write_text("other terms")
    assert "changed      1 KB  LICENSE" in command(ready, "o/r", "--yes")[1]
    assert [message.split(",")[0] for message in repo.messages] == ["8 files", "1 file"]
    assert len(server.puts) == 2, "the models were sent once"


@needs_send
def test_a_refusal_of_the_hub_is_told(ready: Path, server: type[Handler]) -> None:
    status, _, errors = command(ready, "closed/r", "--yes")
    assert (status, errors.splitlines()[-1]) == (
        1,
        "You may not write to closed/r on the hub. Run `hf auth login` with a token that may "
        "write, and check the owner's name.",
    )
    (ready / "README.md").write_text("---\nlicense: nope\n---\n")
    status, _, errors = command(ready, "o/r", "--yes")
    assert status == 1
    assert "The hub refuses the files: Invalid metadata in README.md" in errors
