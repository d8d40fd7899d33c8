"""Ordinary words: those that go on a sentence where a password could stand.

`the password is wrong` tells no password. Words of the languages that `prose` knows.
"""

from __future__ import annotations

from typing import Final

_ENGLISH: Final = """
a about above admin administrator after again all allowed almost already also always an and
another any anything are as asked asterisks at available back bad base based be because been
before being better big blank both box but by cached can cannot case changed clear clearly click
clicking close common complete compromised correct crap dead default different disabled done
down easier easy either else empty enough enter even every everything exactly expired false far
field fine first five for forgotten four free from full fun gone good great half hard hash
hashed have here hidden hit horrible how i if ignored important impossible in incorrect insecure
instead into invalid is it its itself just known last later leaked least less like literally
local locked login long longer lost lower lowercase mandatory many maybe me mine missing more
most much must my necessary needed never new nice no nobody none nonsense not nothing now null
numbers ok okay old on once one only open optional or other our out over own part password paste
perfect plain plaintext please pointless policy poor possible press pretty private probably
prompt protected prove public quite random really recommended required reset right root safe
salted same saved secret secure secured sent set short shown simple six so some somehow
something somewhere stars still stored strong stuck stupid such sudo super supposed sure taken
ten terrible that the their them then there these they this those three to too trivial true two
type typing undefined unique unknown unset up uppercase used useless user username usually valid
very visible weak weird well what when where whether which who why will wired with working works
worse worst written wrong xkcd yes yet you your yours zero
"""
_GERMAN: Final = """
abgelaufen alt auch auf bekannt blöd das der die doof ein eine falsch für geheim gleich gut im
immer in ja jetzt kein keine kurz lang leer mindestens mit nein neu nicht noch nur oder richtig
schlecht sehr sicher so unbekannt und unsicher vergessen von weg wieder wohl zu zurück
"""
_FRENCH: Final = """
avec bon changé dans des du encore expiré faux ici incorrect incorrecte la le les mauvais nul
obligatoire où pas perdu plus pour que qui quoi sans sur toujours trop très un une vide
"""
_SPANISH: Final = """
aquí con correcta corta demasiado difícil débil el fácil incorrecta incorrecto larga los mal
mala malo muy necesaria no nueva obligatoria para por practicar que segura sin tan una vieja
"""
_ITALIAN: Final = """
che con corta debole difficile errata facile giusta gli il lo lunga non nuova per qui sbagliata
sbagliato scaduta senza sicura troppo uno vecchia
"""
_PORTUGUESE: Final = """
certa curta difícil errada errado fraca fácil longa muito nova não o obrigatória os uma velha
"""
_DUTCH: Final = """
de een fout geen goed heel het kort kwijt lang niet onjuist te verkeerd verlopen weg
"""
_POLISH: Final = """
jest krótkie nie nieprawidłowe słabe to tylko za złe
"""
_RUSSIAN: Final = """
для и на не неверный неправильный от слишком это
"""
_SWEDISH: Final = """
den en ett fel för inte rätt
"""

ORDINARY: Final = frozenset(
    " ".join(
        (
            _ENGLISH,
            _GERMAN,
            _FRENCH,
            _SPANISH,
            _ITALIAN,
            _PORTUGUESE,
            _DUTCH,
            _POLISH,
            _RUSSIAN,
            _SWEDISH,
        )
    ).split()
)
