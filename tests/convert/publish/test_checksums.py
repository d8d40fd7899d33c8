"""The checksums of a folder, as sha256sum and others write and read them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest
from published_folders import Folder, save_report
from tiny_gguf import good_keys, write

from relay_gguf.convert.publish.folder import read_sums, sums_text, write_folder


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
