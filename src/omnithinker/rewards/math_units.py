"""Units of quantities: recognition after a number, in words, symbols and LaTeX.

Symbols are case-sensitive (``mA`` is not ``MA``); words are not.
"""

from __future__ import annotations

import re

_WORDS = {
    "mm": "millimeter millimetre", "cm": "centimeter centimetre", "m": "meter metre", "km": "kilometer kilometre",
    "in": "inch inches", "ft": "foot feet", "yd": "yard", "mi": "mile",
    "mg": "milligram", "g": "gram", "kg": "kilogram", "lb": "pound lbs", "oz": "ounce", "ton": "tonne",
    "ms": "millisecond", "s": "second sec", "min": "minute", "h": "hour hr hrs", "d": "day", "week": "", "month": "",
    "year": "yr yrs", "ml": "milliliter millilitre mL", "l": "liter litre L",
    "km/h": "kph kmh km/hr", "mph": "mi/h", "m/s": "", "rpm": "", "ly": "",
    "N": "newton", "J": "joule", "W": "watt", "V": "volt", "A": "ampere amp", "Pa": "pascal", "Hz": "hertz",
    "K": "kelvin",
    "C": "coulomb", "T": "tesla", "F": "farad", "H": "henry", "mol": "mole", "ohm": "Ω", "eV": "", "cal": "calorie",
    "atm": "atmosphere", "bar": "", "dB": "decibel", "M": "molar", "Wb": "weber", "Å": "angstrom", "kcal": "",
    "erg": "",
    "°C": "celsius", "°F": "fahrenheit",
    "dollar": "usd $ \\$", "cent": "¢", "euro": "eur €", "degree": "deg ^\\circ", "radian": "rad", "unit": "",
}  # fmt: skip
_PREFIXED = "m s g N J W V A Pa Hz K C T F H mol ohm eV l L bar Wb cal M"
_SYMBOLS = {
    **{prefix + unit: prefix + unit for prefix in "pnμmckMG" for unit in _PREFIXED.split() if prefix + unit != "cd"},
    **{
        name: unit
        for unit, others in _WORDS.items()
        for base in (unit, *others.split())
        for name in ({base, base + "s"} if len(base) > 2 and base.isalpha() else {base})
    },
}
_FOLDED = {name.casefold(): unit for name, unit in reversed(_SYMBOLS.items()) if name in _WORDS or len(name) > 2}
_COMPOSED = {"h^-1*km": "km/h", "kmh": "km/h", "h^-1*mi": "mph", "m*s^-1": "m/s", "mps": "m/s"}
_SPEEDS = {
    "kilometers per hour": "km/h",
    "miles per hour": "mph",
    "meters per second": "m/s",
    "miles/hour": "mph",
    "kilometers/hour": "km/h",
    "meters/second": "m/s",
}
# Words after a number that change its value or meaning.
_NOT_A_UNIT = frozenset(
    """or and not more less over under above below times squared cubed factorial mod minus plus divided percent hundred
    thousand million billion trillion dozen half halves third thirds quarter quarters fourth fourths fifth fifths
    tenth tenths pi infty alpha beta gamma theta sqrt mid cup cap""".split()  # noqa: SIM905
)
_TAIL = re.compile(
    r"(?P<value>.*?[\d)}\]a-zA-Z!])"
    r"(?: ?\\(?:text(?:rm|normal|up)?|mathrm|mbox)\s*\{\s*(?P<text>[^{}]*?)\s*\}| (?P<word>[a-zA-Z][a-zA-Z/ ]*))"
    r"(?P<power>\^\{?[23]\}?)?"
)
_QUANTITY = re.compile(
    r"(?P<value>[-+]?[\d.,]+(?: ?(?:\\times|\\cdot) ?10\^\{?-?\d+\}?|[eE][-+]?\d+)?) ?(?P<unit>[^\d.,].*)"
)
"""A number followed by a unit that may be composed, such as ``9.8 \\mathrm{m}/\\mathrm{s}^2``."""
_MARKUP = re.compile(r"\\(?:text(?:rm|normal|up)?|mathrm|mbox|rm)(?![a-zA-Z])\s*\{?|[~ ]+")
_QUOTIENT = re.compile(r"\\frac\s*\{((?:[^{}]|\{[^{}]*\})*)\}\s*\{((?:[^{}]|\{[^{}]*\})*)\}")
_FACTOR = re.compile(r"(.+?)(?:\^?(-?\d))?")


def split_unit(text: str) -> tuple[str, str | None]:
    r"""Separate a quantity from its unit.

    Returns:
        (quantity, standard name of the unit). A trailing ``\text{...}`` or plain noun after a number counts as a unit
        even if it is unknown, and is then named ``?``. Without a unit: (text, None).
    """
    if text.endswith(r"^\circ") and re.fullmatch(r"[-+]?[\d.,]+(?:\\frac\{\d+\}\{\d+\})?", text[:-6].strip()):
        return text[:-6].strip(), "degree"
    if money := re.fullmatch(r"([-+]?)(?:\\\$|\$|€|£)\s*(\d.*)", text):
        return money[1] + money[2], "euro" if "€" in text else "pound" if "£" in text else "dollar"
    quantity = _QUANTITY.fullmatch(text)
    if quantity is not None and (name := _composed(text, quantity["unit"])) is not None:
        return quantity["value"], name
    match = _TAIL.fullmatch(text)
    if match is None or re.search(r"\\(?:sum|prod|int|lim)(?![a-z])", match["value"]):
        return text, None  # ``\sum k``
    words = " ".join((match["text"] or match["word"] or "").split()).rstrip(".")
    name = _unit_name(words, match["power"])
    if name is None:
        return (match["value"].strip(), "?") if _is_noun(match, words.casefold()) else (text, None)
    return match["value"].strip(), name


def _composed(text: str, unit: str) -> str | None:
    r"""Return the name of a product or quotient of known symbols; None if it may be a variable, as in ``5x``."""
    marked = "\\" in unit and _MARKUP.search(unit) is not None
    if not marked and " " not in text and not re.match(r"[°μÅΩ]|(?:[ckm]m|kg|mph|lbs)\b|\^\\circ|\\Omega|\\mu", unit):
        return None
    unit = _QUOTIENT.sub(r"\1/\2", unit)
    for written, symbol in ((r"^\circ", "°"), (r"\Omega", "Ω"), (r"\mu", "μ"), ("µ", "μ")):
        unit = unit.replace(written, symbol)
    plain = re.sub(r" *(/|\*|·|\\cdot|\\times|°|μ) *", r"\1", _MARKUP.sub(" ", unit.replace("}", ""))).strip()
    plain = re.sub(r" +(?=\^)", "", plain).replace("{", "").replace(" ", "*")
    plain = re.sub(r"\*+", "*", plain)
    factors = re.split(r"(/|\*|\\cdot|\\times|·)", plain)
    powers: dict[str, int] = {}
    for operator, factor in zip(["*", *factors[1::2]], factors[::2], strict=True):
        match = _FACTOR.fullmatch(factor)
        name = _SYMBOLS.get(match[1]) if match else None
        if match is None or name is None:
            return None
        name = {"km/h": "kmh", "m/s": "mps"}.get(name, name)
        powers[name] = powers.get(name, 0) + int(match[2] or 1) * (-1 if operator == "/" else 1)
    result = "*".join(name + (f"^{power}" if power != 1 else "") for name, power in sorted(powers.items()) if power)
    return _COMPOSED.get(result, result)


def _is_noun(match: re.Match[str], words: str) -> bool:
    """Return True if words that are not a known unit name what is counted: ``12 apples``, ``20 cups of feed``."""
    if not words or re.search(r"[=\d]", words) or set(words.split()) & _NOT_A_UNIT:
        return False
    if match["text"] is None and not re.fullmatch(r"[a-z]{3,}(?: [a-z]{2,}){0,3}", words):
        return False
    return re.fullmatch(r"[-+]?[\d.,/\s]+|.*\}", match["value"]) is not None


def _unit_name(words: str, power: str | None) -> str | None:
    folded = words.casefold()
    for prefix, exponent in (("square ", "^2"), ("sq ", "^2"), ("cubic ", "^3")):
        if folded.startswith(prefix):
            folded, power = folded.removeprefix(prefix), exponent
            words = folded
    for prefix, letter in (("degrees ", "°"), ("degree ", "°")):
        if folded.startswith(prefix):
            words = folded = {"celsius": "°C", "fahrenheit": "°F"}.get(folded.removeprefix(prefix), letter + words[-1:])
    name = _SYMBOLS.get(words) or _SPEEDS.get(folded) or _FOLDED.get(folded)
    if name is None:
        return None
    return name + (power or "").replace("{", "").replace("}", "")
