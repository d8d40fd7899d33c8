"""The certificate with which a server encrypts its connections."""

from __future__ import annotations

import ssl
from pathlib import Path

from relay_gguf.errors import SettingsError


def tls_context(certificate: Path | None, key: Path | None) -> ssl.SSLContext | None:
    """The settings of TLS for a server; None without a certificate.

    Args:
        certificate: a PEM file, with the certificates that lead to a known authority behind it.
        key: the PEM file of its private key, without a passphrase; None if it is in the same file.

    Raises:
        SettingsError: a file cannot be read, they do not belong together, or there is a key alone.
    """
    if certificate is None:
        if key is not None:
            raise SettingsError("--tls-key needs its certificate: add --tls-cert FILE.")
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        # Without a passphrase OpenSSL would ask for one at the terminal.
        context.load_cert_chain(certificate, key or certificate, password=lambda: "")
    except ssl.SSLError as error:
        why = error.reason or str(error)
        raise SettingsError(
            f"{certificate} and {key or certificate} are not a certificate and its key in PEM "
            f"format, without a passphrase: {why.replace('_', ' ').lower()}."
        ) from error
    except OSError as error:
        found = certificate if not certificate.is_file() else key
        raise SettingsError(f"Cannot read {found}: {error.strerror}.") from error
    return context
