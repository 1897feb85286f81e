"""Disarm prompt injections in the texts that a judge compares.

The rule, in this order:

1. **What cannot be seen is removed**: control and format characters, default-ignorable characters, lone surrogates, and
   combining marks behind punctuation, space and ASCII symbols. Joiners stay between letters of scripts that need them
   and in emoji sequences. Line ends of all kinds become line feeds. Full-width, small and vertical forms, and
   characters whose compatibility form is ASCII punctuation, become that form.
2. **No two square brackets touch**, with or without space between them, look-alikes included, so that no text has a
   verdict marker. Double-struck brackets become single ones.
3. **Nothing is a tag**: ``<`` becomes ``‹`` before ``|``, ``/``, ``!``, ``?`` or ``<``, around one word, and where a
   name and a closing ``>`` follow. ``[/...]`` and a word of capitals in square brackets get round ones; an index such
   as ``a[MAX]`` gets a space.
4. **No line is a section mark or a turn**: three dashes at its beginning become two separate ones; the colon behind a
   role at its beginning becomes `` -``; a decorated role alone gets `` -``. Decoration, accents, styles and look-alikes
   of the role's letters make no difference. Lines of tables without words stay.
"""

from __future__ import annotations

import re
import string
import unicodedata

_IGNORABLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2060-\u206f\u3164\ufe00-\ufe0f\uffa0\ufff0-\ufffb\U000e0000-\U000e0fff]"
)
"""Default_Ignorable_Code_Point of Unicode, as far as it is not of the categories of :func:`_form`."""
_NAMED = {chr(code): unicodedata.name(chr(code), "") for code in range(0x2000, 0x3100)}


def _named(pattern: str) -> str:
    """Return the characters of symbols and punctuation whose names match a pattern, escaped for a set."""
    return re.escape("".join(character for character, name in _NAMED.items() if re.search(pattern, name)))


_SQUARE = r"(?:SQUARE|LENTICULAR|TORTOISE SHELL) BRACKET|CEILING|FLOOR|HALF BRACKET"
_OPEN = r"\[" + _named(rf"LEFT .*(?:{_SQUARE})")
_CLOSE = r"\]" + _named(rf"RIGHT .*(?:{_SQUARE})")
_DASH = r"\-=_~¯ˉ֊־᠆➖" + _named("DASH|HYPHEN|MINUS|HORIZONTAL|OVERLINE|LOW LINE|TILDE|EQUALS")
_COLON = ":ː˸։׃܃܄᛬᠃ꓽ꞉" + _named("(?<!SEMI)COLON|^RATIO$|^PROPORTION$|TWO DOT PUNCTUATION")
_BAR = "|¦ǀ∣│┃❘⏐"
_STRUCTURE = re.compile(f"[{_OPEN}{_CLOSE}{_DASH}{_COLON}{_BAR}]")
_JOINERS = "\u200c\u200d"
_LATER_SCRIPTS = "\u0590"
"""First character behind the scripts of Latin, Greek, Cyrillic and Armenian, which need no joiners."""
_EMOJI = "\u2600"
"""First character of emoji, roughly."""
_TABLE = r"|+│┃║┌├└╔╠╚"
_LOOK_ALIKES = dict(
    zip(
        "аеорсухіѕјһԁӏмтнквгАВЕКМНОРСТУХІЅЈαεορνυικτχγΑΒΕΖΗΙΚΜΝΟΡΤΥΧıɡɑսոօհ",
        "aeopcyxisjhdlmthkbrabekmhopctyxisjaeopvuiktxyabezhikmnoptyxigaunoh",
        strict=True,
    )
)
"""Letters of other scripts, and those of Latin that they look like."""

# Linear for every text, as a test checks: all repeats are possessive, and none can run over a place where its pattern
# starts, so that no character is looked at more than a few times.
_OPENING = re.compile(rf"[{_OPEN}](?=\s*+[{_OPEN}])")
_CLOSING = re.compile(rf"[{_CLOSE}](?=\s*+[{_CLOSE}])")
_TAG_MARK = re.compile(rf"<(?=\s*+[{_BAR}/!?<])")
_TAG_WORD = re.compile(r"<(?=(?:[^\s<>]|\s++[^\W\d])[^\s<>]*+\s*+>)")
_TAG_NAME = re.compile(r"(?<![\w)\]])<(?=[^\W\d][^<>\n]*+>)")
_SQUARE_TAG = re.compile(r"(?<![\w)\]])\[(\s*+[a-z]?[A-Z][A-Z_0-9]++\s*+)\]")
_CLOSING_TAG = re.compile(r"\[(\s*+/[^\[\]\n]*+)\]")
_INDEX = re.compile(r"\[(?=[a-z]?[A-Z][A-Z_0-9]++\s*+\])")
_INSTRUCTION = re.compile(r"\[(?=\s*+/?\s*+(?:INST|SYS))", re.IGNORECASE)
_DASHES = re.compile(
    rf"^(?![{_TABLE}][^\w\n]*+$)((?:(?![{_DASH}]{{3}})(?:[^\w\n]|[\d_]))*+)([{_DASH}])[{_DASH}][{_DASH}]++",
    re.MULTILINE,
)


class _Forms(dict[int, str | None]):
    """Table for ``str.translate`` that is filled as characters occur."""

    def __missing__(self, code: int) -> str | None:
        self[code] = form = _form(chr(code))
        return form


def _form(character: str) -> str | None:
    """Return the visible form of a character; None if it has none."""
    if character in "\n\t":
        return character
    if character in "\r\v\f\x1c\x1d\x1e\x85\u2028\u2029":
        return "\n"
    if character in _JOINERS:
        return character
    if unicodedata.category(character) in ("Cc", "Cf", "Cs") or _IGNORABLE.match(character):
        return None
    if character == "\u2800":  # a Braille pattern without dots
        return " "
    if "WHITE SQUARE BRACKET" in (name := _NAMED.get(character, "")):
        return "[" if name.startswith("LEFT") else "]"
    folded = unicodedata.normalize("NFKC", character)
    form = "\ufe10" <= character <= "\ufe6f" or "\uff00" <= character <= "\uffef"
    return folded if form or (len(folded) == 1 and folded in string.punctuation) else character


_FORMS = _Forms()


def _without_stray_marks(text: str) -> str:
    """Remove combining marks behind punctuation, space and ASCII symbols, and joiners where no script needs them."""
    characters = set(text)
    marks = {character for character in characters if unicodedata.category(character)[0] == "M"}
    if not marks and characters.isdisjoint(_JOINERS):
        return text
    kept: list[str] = []
    for character, following in zip(text, [*text[1:], "\n"], strict=True):
        base = kept[-1] if kept else "\n"
        if character in _JOINERS:
            if _joined(base) and _joined(following):
                kept.append(character)
        elif character not in marks or _carries_marks(base):
            kept.append(character)
        elif len(composed := unicodedata.normalize("NFC", base + character)) == 1:
            kept[-1] = composed  # such as the sign for inequality
    return "".join(kept)


def _carries_marks(base: str) -> bool:
    kind = unicodedata.category(base)[0]
    return kind in "LNM" or (kind == "S" and not base.isascii() and not _STRUCTURE.match(base))


def _joined(character: str) -> bool:
    kind = unicodedata.category(character)
    return (kind[0] in "LM" and character >= _LATER_SCRIPTS) or (kind in ("So", "Sk") and character >= _EMOJI)


def _plain(line: str) -> tuple[str, list[int]]:
    """Return the plain letters that a line looks like, and the place in the line of each."""
    plain: list[str] = []
    places: list[int] = []
    for place, character in enumerate(line):
        letters = _PLAIN[ord(character)] or ""
        plain += letters
        places += [place] * len(letters)
    return "".join(plain), places


class _PlainForms(dict[int, str]):
    """Plain letters by character, filled as characters occur."""

    def __missing__(self, code: int) -> str:
        self[code] = form = "".join(map(_plain_letter, unicodedata.normalize("NFKD", chr(code))))
        return form


def _plain_letter(character: str) -> str:
    if character.isascii():
        return character
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return ""
    named = re.fullmatch(r".* (?:LETTER|SMALL CAPITAL) ([A-Z])", unicodedata.name(character, ""))
    return _LOOK_ALIKES.get(character) or (named[1] if named else character)


_PLAIN = _PlainForms()
_ROLE_NAMES = """
system user assistant developer tool human ai bot model judge grader evaluator verdict role instructions? response
sistema système usuario usuário utilisateur asistente assistente assistent benutzer utente
система пользователь ассистент 系统 系統 用户 用戶 助手 システム ユーザー アシスタント 시스템 사용자
النظام المستخدم المساعد
"""
_ROLES = "|".join(_plain(role)[0] for role in _ROLE_NAMES.split())
_ROLE = re.compile(
    rf"^((?:[^\w\n]|[\d_])*+(?:{_ROLES})(?![^\W\d_])"  # decoration, role
    rf"(?:[^\w\n{_COLON}]|[\d_])*+(?:[^\W\d_]++(?:[^\w\n{_COLON}]|[\d_])*+)?)[{_COLON}]",  # at most a word, colon
    re.IGNORECASE,
)
_HEADING = re.compile(
    rf"^(?=(?:[^\W_]|[^\S\n])*+[^\n])(?:[^\w\n]|[\d_])*+(?:{_ROLES})(?:[^\w\n]|[\d_])*+$",  # with some decoration
    re.IGNORECASE,
)


def _without_turn(line: str) -> str:
    """Return a line that begins no turn."""
    plain, places = (line, range(len(line))) if line.isascii() else _plain(line)
    if found := _ROLE.match(plain):
        colon = places[found.end() - 1]
        return f"{line[:colon]} -{line[colon + 1 :]}"
    return f"{line} -" if _HEADING.match(plain) else line


def neutralize(text: str) -> str:
    """Disarm prompt injections in a text without changing how it reads; the module states the rule."""
    text = _without_stray_marks(text.replace("\r\n", "\n").translate(_FORMS))
    for tag in (_SQUARE_TAG, _CLOSING_TAG):
        text = tag.sub(r"(\1)", text)
    text = _INSTRUCTION.sub("(", text)
    text = _INDEX.sub("[ ", text)
    text = _OPENING.sub(r"\g<0> ", text)
    text = _CLOSING.sub(r"\g<0> ", text)
    for tag in (_TAG_MARK, _TAG_WORD, _TAG_NAME):
        text = tag.sub("‹", text)
    text = _DASHES.sub(r"\1\2 \2", text)
    return "\n".join(map(_without_turn, text.split("\n")))
