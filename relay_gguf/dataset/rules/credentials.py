"""Keys, tokens and webhooks: texts that open a service to whoever has them."""

from __future__ import annotations

import math
import re
from collections import Counter
from typing import Final

from .detectors import knows

_DIGITS: Final = frozenset("0123456789")
_LONG_WORD: Final = 12
_LONGER: Final = 24
"""No key is shorter than the one, and none without a digit shorter than the other: most lines have
no such word, and cost nothing more."""
_KEYS: Final = re.compile(
    r"""
      \b(?:[spr]k[-_](?:(?:live|test|proj|ant)[-_])?[A-Za-z0-9_-]{16}
        | gh[pousr]_[A-Za-z0-9]{20} | github_pat_\w{20} | gl(?:pat|rt|dt|ft|soat|agent)-[\w-]{16}
        | xox[abeoprs]-[\w-]{10} | xapp-[\w-]{20} | A(?:KI|SI)A[A-Z0-9]{16}\b | AIza[\w-]{30}
        | hf_[A-Za-z0-9]{20} | npm_[A-Za-z0-9]{20} | pypi-[\w-]{20} | ya29\.[\w-]{20}
        | SG\.[\w-]{16,64}\.[\w-]{16} | eyJ[\w-]{8,999}\.[\w-]{8} | gsk_\w{20} | xai-\w{20}
        | do[opr]_v1_[0-9a-f]{32} | shp(?:at|ss|ca|pa|tka)_[0-9a-fA-F]{32} | sq0[a-z]{3}-[\w-]{20}
        | lin_api_\w{20} | ntn_\w{20} | secret_[A-Za-z0-9]{32} | glc_[\w+/]{20} | glsa_\w{20}
        | hv[sb]\.[\w-]{20} | tskey-[a-z]{3,12}-\w{10} | dckr_pat_[\w-]{20} | r8_[A-Za-z0-9]{30}
        | dp\.[a-z]{2}\.\w{30} | AGE-SECRET-KEY-1[0-9A-Za-z]{50} | EAA[A-Za-z0-9]{60} | PMAK-\w{20}
        | b3BlbnNzaC1rZXktdj | [a-z]{2,10}_(?=[A-Za-z]{0,40}\d)[A-Za-z0-9]{32}
        | \d{8,10}:[\w-]{35} | [Bb]earer\s+[\w.~+/-]{16} | [\w-]{23,28}\.[\w-]{6}\.[\w-]{25}
      )
    | PuTTY-User-Key-File | -----BEGIN\ [A-Z ]*(?:PRIVATE\ KEY|PGP\ MESSAGE)
    """,
    re.VERBOSE,
)
_WEBHOOKS: Final = re.compile(
    r"""
      /api/(?:v\d+/)?webhooks/\d{10,20}/[\w-]{16}          # Discord, and its look-alikes
    | hooks\.slack(?:-gov)?\.com/(?:services|workflows|triggers)/\w
    | (?:webhook|outlook)\.office\.com/webhook | logic\.azure\.com/workflows/
    | hooks\.zapier\.com/hooks/catch/\d | hook\.[\w.-]{0,20}make\.com/\w{8}
    | maker\.ifttt\.com/(?:trigger|use)/ | /hooks/[a-z0-9]{26}\b
    | chat\.googleapis\.com/v1/spaces/\w | /_matrix/[^\s?]{1,99}/hook/ | ntfy\.sh/\w{12}
    | [?&](?:key|sig|signature|auth|sid|hash|session|x-amz-signature|x-amz-credential|api_?key
        |access_token|token|secret|password|pwd|pass)=[\w%.~+/-]{8}
    | otpauth(?:-migration)?://
    """,
    re.VERBOSE,
)
_SAID: Final = re.compile(
    r"(?:api|access|secret|private|auth|licen[cs]e|product|activation|channel)[ _-]?(?:key|token)"
    r"[\"'`*:=]{0,3}\ (?:is\ |was\ |:\ |=\ )?[\"'`*|]{0,3}(?=[\w-]{0,40}\d)[\w-]{8}"
    r"|\b(?:key|token|secret)[\"'`*:=]{0,3}\ (?:is\ |was\ )?[\"'`*|]{0,3}"
    r"(?=[a-z_-]{0,40}\d)(?=[\d_-]{0,40}[a-z])[\w-]{20}"
)
_PRODUCT: Final = re.compile(
    r"(?<![\w-])(?=[A-Z-]{0,30}\d)(?=[\d-]{0,30}[A-Z])[A-Z0-9]{5}(?:-[A-Z0-9]{5}){2,5}(?![\w-])"
)
"""The key of a program or a game, in groups of five."""
_HEX: Final = re.compile(
    r"(?<!\w)(?:(?=[a-fA-Fx]{0,40}\d)(?:0x)?[0-9A-Fa-f]{32,}|(?:[0-9A-Fa-f]{2}:){15}[0-9A-Fa-f]{2})"
    r"(?!\w)"
)
_HASH: Final = re.compile(
    r"(?<![^\W_])(?:commits?|merged?|pick|checkout|parent|bisect|reset|into|onto|etag|tree|blobs?"
    r"|rev(?:ision)?|git|head|sha-?\d*(?:sum)?|md5(?:sum)?|btih|digest|checksum|blake2?[bs]?"
    r"|fingerprint|host key)(?: is)?[\s/:=@\"'-]{1,4}$",
    re.IGNORECASE,
)
"""What stands before a hash that everybody may know: that of a commit or a file."""
_OF_FILE: Final = re.compile(r" [ *][\w~/.-]{0,200}[/.]\w")
"""What stands behind the hash of a file, as md5sum prints it."""
_WORDS: Final = re.compile(r"[A-Z]?[a-z]{3,}")
_LONG: Final = re.compile(r"(?<![\w/.%-])(?<!list=)[\w+/-]{32,}={0,2}")


def has_key(text: str) -> bool:
    """Whether a text has a key, a token, or the address of a webhook."""
    if "-----BEGIN " in text and _KEYS.search(text):
        return True
    if not any(map(_may_be_key, text.split())):
        return False
    return (
        _KEYS.search(text) is not None
        or ("/" in text and _WEBHOOKS.search(text.lower()) is not None)
        or _SAID.search(text.lower()) is not None
        or _PRODUCT.search(text) is not None
        or any(not _is_hash(text, *found.span()) for found in _HEX.finditer(text))
        or any(_is_random(found[0]) for found in _LONG.finditer(text))
        or knows(text)
    )


def _may_be_key(word: str) -> bool:
    size = len(word)
    return size >= _LONG_WORD and (size >= _LONGER or not _DIGITS.isdisjoint(word))


def _is_hash(text: str, start: int, end: int) -> bool:
    """Whether the text around `start` and `end` says that this is a commit's or a file's hash."""
    before = text[max(0, start - 24) : start]
    return _HASH.search(before) is not None or _OF_FILE.match(text, end) is not None


def _is_random(text: str) -> bool:
    """Whether a long word looks like base64 of a key: all sorts of letters, few of them twice.

    A path or a name made of words does not, for most of it is words.
    """
    sorts = (str.isupper, str.islower, str.isdigit)
    if not all(any(map(sort, text)) for sort in sorts):
        return False
    if 2 * sum(map(len, _WORDS.findall(text))) > len(text):
        return False
    counts = Counter(text).values()
    entropy = -sum(n / len(text) * math.log2(n / len(text)) for n in counts)
    return entropy > 4
