"""The model card to the letter, with a command for each program."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from conversions import Pair, converted, request
from hf_models import write_adapter
from published_folders import COMMANDS, Folder, commands, entry, readme
from tiny_gguf import write

from relay_gguf.apps.lmstudio import preset_json
from relay_gguf.convert.publish.folder import write_folder, written_lines
from relay_gguf.convert.publish.modelcard import page

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
