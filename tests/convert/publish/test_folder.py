"""A folder that is there: what is written anew, what stays, and what a conversion adds."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest
import yaml
from conversions import Pair, converted, request
from published_folders import COMMANDS, Folder, commands, readme

from relay_gguf import __version__
from relay_gguf.apps.lmstudio import preset_json
from relay_gguf.convert.metadata import MetadataOverride
from relay_gguf.convert.publish.folder import read_sums, write_folder
from relay_gguf.convert.publish.upload import plan_upload
from relay_gguf.errors import ConversionError


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
