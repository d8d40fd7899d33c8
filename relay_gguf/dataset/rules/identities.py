"""Numbers that a state gives to people, where their form or their check digits tell them.

The United States' SSN, the United Kingdom's NINO, Brazil's CPF, Spain's DNI and NIE, Italy's codice
fiscale, France's numéro de sécurité sociale, and passports where they are called so. Numbers of
other states are bare digits and look like any other number.
"""

from __future__ import annotations

import re
from typing import Final

_PLAIN: Final = re.compile(
    r"""
      (?<![\w.-])(?!000|666|9)\d{3}-(?!00)\d\d-(?!0000)\d{4}(?![\w-])                     # SSN
    | \b(?:ssn|social\ security)\b\D{0,24}\d{3}[ -]?\d\d[ -]?\d{4}(?!\d)
    | (?<!\w)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z](?:\ \d\d){3}\ [A-D](?!\w)                # NINO
    | \b(?:nino|ni\ n|national\ insurance)\b\D{0,24}[A-Z]{2}(?:\ ?\d\d){3}\ ?[A-D](?!\w)
    | (?<!\w)[A-Z]{6}\d\d[ABCDEHLMPRST]\d\d[A-Z]\d{3}[A-Z](?!\w)                          # CF
    | \b(?:passport|passeport|pasaporte|reisepass|personalausweis|driver'?s\ licen[cs]e
        |driving\ licen[cs]e)\W{1,3}
        (?:(?:number|no|nr|nummer|numéro|número|is|ist|est|es)\W{1,3}){0,2}
        (?=[A-Z]{0,9}\d[A-Z]{0,9}\d)[A-Z0-9]{7,10}(?!\w)
    """,
    re.VERBOSE | re.IGNORECASE,
)
_CPF: Final = re.compile(r"(?<![\d.-])\d{3}\.\d{3}\.\d{3}-\d\d(?![\d-])")
_DNI: Final = re.compile(r"(?<![\w-])([XYZxyz]-?\d{7}|\d{8})[ -]?([A-Za-z])(?!\w)")
_DNI_LETTERS: Final = "TRWAGMYFPDXBNJZSQVHLCKE"
_NIR: Final = re.compile(r"(?<!\d)[12](?: ?\d\d){2} ?\d[\dABab](?: ?\d{3}){2} ?\d\d(?!\d)")


def has_identity(text: str) -> bool:
    """Whether a text has the number by which a state knows a person."""
    return (
        _PLAIN.search(text) is not None
        or any(_is_cpf(found[0]) for found in _CPF.finditer(text))
        or any(_is_dni(found[1], found[2]) for found in _DNI.finditer(text))
        or any(_is_nir(found[0]) for found in _NIR.finditer(text))
    )


def _is_cpf(text: str) -> bool:
    """Whether both check digits, modulo 11, are right."""
    each = [int(char) for char in text if char.isdigit()]
    for place in (9, 10):
        weighed = sum(digit * (place + 1 - n) for n, digit in enumerate(each[:place]))
        if weighed * 10 % 11 % 10 != each[place]:
            return False
    return True


def _is_dni(number: str, letter: str) -> bool:
    """Whether the letter is that of the number modulo 23."""
    first = "XYZ".find(number[0].upper())
    whole = number if first < 0 else str(first) + number[1:].lstrip("-")
    return _DNI_LETTERS[int(whole) % 23] == letter.upper()


def _is_nir(text: str) -> bool:
    """Whether the last two digits are 97 minus the number modulo 97."""
    packed = text.replace(" ", "").upper().replace("2A", "19").replace("2B", "18")
    return packed.isdigit() and 97 - int(packed[:-2]) % 97 == int(packed[-2:])
