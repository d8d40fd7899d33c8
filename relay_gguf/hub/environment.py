"""The environment variables that the hub's library reads, checked before it stumbles over one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from relay_gguf.errors import SettingsError

WHOLE_NUMBERS: Final = ("HF_HUB_ETAG_TIMEOUT", "HF_HUB_DOWNLOAD_TIMEOUT")
CERTIFICATES: Final = ("SSL_CERT_FILE",)


def check_numbers() -> None:
    """Refuse numbers that the library cannot read: importing it would fail.

    Raises:
        SettingsError: one of them is not a whole number.
    """
    for name in WHOLE_NUMBERS:
        value = os.environ.get(name)
        if value is not None and not _is_whole(value):
            raise SettingsError(
                f"{name} is {value!r} in the environment; it must be a whole number of seconds."
            )


def check_environment() -> None:
    """Refuse all that keeps the library from reaching the hub, by the variable's name.

    Raises:
        SettingsError: a number, the hub's address or a file of certificates is wrong.
    """
    check_numbers()
    address = os.environ.get("HF_ENDPOINT", "")
    if address and not _is_address(address):
        raise SettingsError(
            f"HF_ENDPOINT is {address!r} in the environment; it must be an address as "
            "https://huggingface.co. Correct it, or unset it."
        )
    for name in CERTIFICATES:
        path = os.environ.get(name, "")
        if path and not Path(path).is_file():
            raise SettingsError(
                f"{name} is {path!r} in the environment, and there is no such file. Correct it, "
                "or unset it."
            )


def _is_whole(value: str) -> bool:
    try:
        return int(value) >= 0
    except ValueError:
        return False


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is not a number
        return False
