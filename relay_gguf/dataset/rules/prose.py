"""A password in a sentence: `the wifi password is hunter2`, `nimm hunter2 als Passwort`.

A sentence has a noun (password, PIN, door code) and, near it, a word that may be the secret. Which
words may be, is the whole question: `my password is hunter2` tells it, `my password is wrong` does
not. A word with letters and digits nearly always is one; one of letters alone is taken for a
secret unless it is in `ORDINARY`, or ends as a participle does.

The nouns are English, German, French, Spanish, Italian, Portuguese, Dutch, Polish, Russian,
Swedish, Danish, Norwegian, Finnish, Czech, Hungarian and Turkish; of Chinese, Japanese and Korean
the plainest sentence alone is known.
"""

from __future__ import annotations

import re
from typing import Final

from .ordinary import ORDINARY

_STEMS: Final = (
    *("pass", "pwd", "pw", "pin", "code", "código", "codice", "kod", "kennwort", "mdp", "clave"),
    *("contrase", "senha", "wachtw", "парол", "код", "hasł", "lösen", "parola", "adgangskode"),
    *("salasana", "şifre", "heslo", "jelszó", "wifi", "wi-fi", "wlan", "wpa", "ssid"),
)
_LOGINS: Final = (
    *("login", "log in", "logon", "cred", "zugang", "admin", "root", "acces", "acess", "account"),
    *("identif", "user", "guest", "use", "with", "as "),
)
"""Every sentence that tells a password has one of these, and most lines do not."""
_NOUN: Final = (
    r"(?:passwor[dt]|passphrase|passcode|passwd|kennwort|mots?\ de\ passe|contraseña|contrasena|"
    r"palavra-passe|parola(?:\ d'ordine)?|wachtwoord|пароль|lösenord(?:et)?|passord(?:et)?|"
    r"adgangskode|kodeord|salasana|şifre(?:m|si|miz)?|heslo|jelszó|"
    r"\b(?:pwd|pw|mdp|pin|clave|senha|hasło)|"
    r"\bpass(?=\ ?[:=]|'s\ |\ (?:is|was|for|ist|war|est|es|è|é)\ |\ (?=\S{0,32}[a-z])\S{0,32}\d)"
    r")(?!\w)"
)
_DOOR: Final = (
    r"(?:door|gate|garage|house|room|luggage|suitcase|alarm|access|entry|verification|security|confirmation|login|2fa|otp|sms|unlock|"
    r"safe|locker|lock|backup|one[ -]?time|haustür|tür|tor|zugangs|sicherheits|bestätigungs)[ -]?"
    r"(?:code|pin|combination)(?!\w)"
)
_AT_A_DOOR: Final = (
    r"\b(?:code|código|codice|kod|код)(?!\w)(?=[^:=]{0,40}(?:tür|\btor\b|porte|immeuble|puerta|"
    r"portal|porta|drzwi|bramy|двер|подъезд|домофон|door|gate|alarm))"
)
_OF_A_NET: Final = (
    r"\b(?:wi-?fi|wlan|wpa\d?|ssid)\b[^:=\n]{0,24}\b(?:key|schlüssel|clé|clave|chiave)(?!\w)"
)
_NAME: Final = rf"(?:{_NOUN}|{_DOOR}|{_AT_A_DOOR}|{_OF_A_NET})['\"*`|,]{{0,3}}"
_ANY: Final = re.compile(_NAME)
_IS: Final = (
    r"(?:\ (?:is|was|are|ist|war|lautet|est|c'est|es|era|è|é|это|är|blijft|bleibt|->|=>|-|–)"
    r"(?=\ )|'s(?=\ )|\ ?[:=])"
)
_STILL: Final = (
    r"(?:(?:set\ to|now|still|just|again|always|literally|probably|currently|like|the\ default,?|"
    r"default,?|immer|noch|jetzt|einfach|toujours|encore|siempre|todavía|sempre|ancora|ainda|nog|"
    r"nu)\ ){0,3}"
)
_OPEN: Final = r"[\"'`*|(<«“„]{0,3}"
_IS_ELSEWHERE: Final = r"(?:hasło(?:\ [^\s:=]{1,32}){0,3}?\ to|salasana\ on|heslo\ je)(?=\ )"
_VALUE: Final = rf"{_OPEN}(?P<value>[^\s\"'`|«»“”„<>]{{3,64}})"
_FILL: Final = r"(?:\ [^\s:=]{1,32}){0,5}?"

_TELLS: Final = re.compile(
    rf"(?:(?P<name>{_NAME})(?P<fill>{_FILL}){_IS}|{_IS_ELSEWHERE})\ ?{_STILL}{_VALUE}"
)
"""The password for the wifi is hunter2."""
_FOLLOWS: Final = re.compile(
    rf"{_NAME}(?:\ (?:of|for|von)\ \S{{1,32}})?\ (?:it's\ |it\ is\ )?{_VALUE}"
)
"""user ann password hunter2"""
_QUOTED: Final = re.compile(
    rf"{_NAME}{_FILL}\ (?P<quote>[\"'`]|\|\||\*\*)(?P<value>[^\s\"'`|*]{{4,64}})(?P=quote)"
)
"""zip pw "infected" """
_QUOTED_SENTENCE: Final = re.compile(rf"{_NAME}{_FILL}{_IS}\ ?[\"“«„][^\"”»“]{{4,64}}[\"”»“]")
"""The passphrase is "correct horse battery staple"."""
_EASTERN: Final = re.compile(
    r"(?:密码|密碼|パスワード|暗証番号|비밀번호)\s?(?:是|为|為|は|は、|는|은)?\s?[:：=]?\s?"
    r"[\"'「“]?[!-~]{4}"
)
_BECOMES: Final = re.compile(rf"{_NAME}{_FILL}\ (?:to|auf|zu|in|à|en|a|para|naar|na|på)\ {_VALUE}")
"""I changed the password to hunter2."""
_SERVES: Final = re.compile(
    rf"(?<!\S){_OPEN}(?P<value>[^\s\"'`|«»“”„<>]{{3,64}})[\"'`*|)>»”]{{0,3}}\ "
    r"(?:(?:is|ist|est)\ (?:your|dein|deine|ihr|votre|ton)\ [^\n:=]{0,32}?(?:code|pin)(?!\w)|"
    r"(?:as|is|for|als|ist|comme|est|como|es|come|è|é|jako|to|как|som|är)\ "
    rf"(?:[^\s:=]{{1,16}}\ ){{0,2}}?[\w-]{{0,16}}{_NOUN})"
)
"""hunter2 is the password"""
_USED: Final = re.compile(
    rf"(?<!\w)(?:use|try|take|nimm|nehmt|benutz|utilise|prends|mets|usa|usá|prueba|prova|gebruik|"
    rf"użyj|используй)\ {_OPEN}(?P<value>[^\s\"'`|«»“”„<>]{{4,64}})[\"'`*|)>»”]{{0,3}}\ "
    r"(?:as|als|comme|como|come|jako|как|som)\ "
    rf"(?:[^\s:=]{{1,16}}\ ){{0,2}}?[\w-]{{0,16}}{_NOUN}"
)
"""Use swordfish as password."""
_PAIR: Final = re.compile(
    r"(?:"
    r"\b(?:login|log\ in|logon|creds|credentials?|zugangsdaten|zugang|identifiants|credenciales|"
    r"credenziali|accesso|acesso|account|user)\b[^\n/|,]{0,16}?[\ :(][\w.@+-]{2,32}"
    r"|\b(?:use|with|as)\ [\w.@+-]{2,32}(?=[/:])"
    r"|(?<![^\s(])(?:admin|administrator|root|guest|user))"
    r"\ ?[/:|]\ ?(?P<value>[^\s/:|.\"'`]{4,64})(?![\w/:|])"
)
"""creds are admin/hunter2"""
_BIG_SPACES: Final = re.compile(r"\s+")
_LOOSE: Final = frozenset({"clave", "pin", "pass"})
"""Nouns that mean other things too."""
_ANSWER_WORDS: Final = 4
_EDGE: Final = "\"'`*|.,;:!?()[]<>{}«»“”„…-_"
_DIGITS: Final = frozenset("0123456789")
_LETTER: Final = re.compile(r"[^\W\d_]")
_NUMBER: Final = re.compile(r"(?:[a-z]-)?\d{4,24}#?|\d{3}[ -]\d{3}")
_MEASURE: Final = re.compile(
    r"""
      \d+[-.]?(?:st|nd|rd|th|x|k|m|gb|mb|kb|tb|ms|s|sec|h|hrs?|am|pm|pt|px|bits?|bytes?|chars?|char
        |days?|mins?|er|e|de|ème|th?|v|w|hz|mhz|ghz|-?digits?)?
    | v?\d+(?:[.,:]\d+)+\S* | [\d.,:/%+-]+ | \#\d+ | \S*://\S*
    | \S*\.(?:com|org|net|de|txt|py|sh|conf|log|html?|php)
    | (?:sha|md|ip|ipv|mp|utf|win|windows|python|py|php|perl|ruby|debian|ubuntu|fedora|argon|pbkdf
        |fido|wpa|oauth|base|ssl|tls|http|fat|ext|ec|level|step|page|part|day|room|line|port|channel
        |gpio|rfc|usb|ps|gta|web|office|vista|xp|log|version|ver)-?\d[\w.-]{0,4}
    | [a-z]-?\d{1,4}[a-z]?
    | \d?[a-z]?\d?fa | .*[\[(=].* | /.* | \$\S* | [@\#~].* | \S+@\S+\.\S+
    """,
    re.VERBOSE,
)
"""Words with digits that are no passwords: ordinals, sizes, versions, names of programs."""
_VERBAL: Final = re.compile(
    r".*(?:ed|ing|able|ible|less|ful|ive|ous|ung|bar|ée?s?|[aie]d[ao]|[aiu]t[ao]|[aei]tt)"
    r"|ge\w+t|ver\w+t"
)


def tells_password(text: str) -> bool:
    """Whether a sentence tells a password, a PIN or the code of a door."""
    if not text.isascii() and _EASTERN.search(text):
        return True
    low = text.lower()
    is_pair = "/" in low or ":" in low or "|" in low
    if is_pair and not _DIGITS.isdisjoint(low) and any(map(low.__contains__, _LOGINS)):
        low = _BIG_SPACES.sub(" ", low)
        if any(_has_both(found["value"]) for found in _PAIR.finditer(low)):
            return True
    if not any(map(low.__contains__, _STEMS)):
        return False
    low = _BIG_SPACES.sub(" ", low)
    if not _ANY.search(low) and "code" not in low:
        return False
    return (
        any(_is_told(found, low) for found in _TELLS.finditer(low))
        or any(_is_strong(found["value"], low, found.end()) for found in _FOLLOWS.finditer(low))
        or any(_is_quoted(found["value"]) for found in _QUOTED.finditer(low))
        or any(_has_both(found["value"]) for found in _BECOMES.finditer(low))
        or any(_is_strong(found["value"], low, found.end()) for found in _SERVES.finditer(low))
        or _QUOTED_SENTENCE.search(low) is not None
        or any(_is_weak(found["value"]) for found in _USED.finditer(low))
    )


def asks_password(text: str) -> bool:
    """Whether somebody asks for a password, so that the lines behind may be one."""
    if "?" not in text:
        return False
    low = text.lower()
    return any(map(low.__contains__, _STEMS)) and _ANY.search(_BIG_SPACES.sub(" ", low)) is not None


def may_be_answer(text: str) -> bool:
    """Whether a few words could be the answer: one of them has letters and digits.

    The nick of whom somebody speaks to, before a colon or comma, is not one of them.
    """
    words = text.lower().split()
    if words and words[0][-1] in ":,":
        del words[0]
    return len(words) <= _ANSWER_WORDS and any(map(_has_both, words))


def _is_told(found: re.Match[str], low: str) -> bool:
    """Whether the word behind `is` is the password; far from the noun, it must look like one."""
    value, end = found["value"], found.end()
    if _is_strong(value, low, end):
        return True
    if (found["name"] or "").strip(_EDGE) in _LOOSE:
        return False
    if found["fill"] and low[end:].strip(_EDGE + " "):
        return False
    return _is_weak(value)


def _is_strong(value: str, low: str, end: int) -> bool:
    """Whether a word has letters and digits as passwords do, or is a number of 4 to 8 digits."""
    return _has_both(value) or _is_number(value, low[end : end + 5])


def _has_both(value: str) -> bool:
    bare = value.strip(_EDGE)
    if len(bare) < 4 or _MEASURE.fullmatch(bare) or not _LETTER.search(bare):
        return False
    return any(map(str.isdigit, bare)) or any(char in bare[1:-1] for char in "!$%&*^§€")


def _is_number(value: str, after: str) -> bool:
    bare = value.strip(_EDGE)
    return _NUMBER.fullmatch(bare) is not None or (
        len(bare) == 3 and _NUMBER.fullmatch((bare + after[:4]).strip(_EDGE + " ")) is not None
    )


def _is_quoted(value: str) -> bool:
    """Whether a word in quotes may be a password."""
    bare = value.strip(_EDGE)
    return len(bare) >= 4 and bare not in ORDINARY and not _MEASURE.fullmatch(bare)


def _is_weak(value: str) -> bool:
    """Whether a word without digits may be a password."""
    bare = value.strip(_EDGE)
    if len(bare) < 4 or _MEASURE.fullmatch(bare):
        return False
    return bare not in ORDINARY and not _VERBAL.fullmatch(bare)
