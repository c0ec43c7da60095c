"""Which encoding a text that is not UTF-8 has, and whether that is sure. No I/O but the table of alphabets.

Asian and Cyrillic encodings leave their marks, which charset-normalizer knows. The Latin ones differ in a few letters
only: a reading is the better, the fewer symbols and capitals it puts inside words, and the more of its letters belong to
one alphabet. Where two readings are about as good and differ, a person is asked.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ENCODINGS = {
    "utf-8": "UTF-8",
    "utf-16-le": "UTF-16",
    "utf-16-be": "UTF-16, big-endian",
    "cp1252": "Windows-1252, Western European",
    "cp1250": "Windows-1250, Central European",
    "cp1251": "Windows-1251, Cyrillic",
    "cp1253": "Windows-1253, Greek",
    "cp1254": "Windows-1254, Turkish",
    "cp1255": "Windows-1255, Hebrew",
    "cp1256": "Windows-1256, Arabic",
    "cp1257": "Windows-1257, Baltic",
    "iso-8859-1": "ISO-8859-1, Western European",
    "iso-8859-2": "ISO-8859-2, Central European",
    "iso-8859-15": "ISO-8859-15, Western European",
    "koi8-r": "KOI8-R, Russian",
    "mac_roman": "Mac Roman",
    "cp437": "DOS, American",
    "cp850": "DOS, Western European",
    "shift_jis": "Shift JIS, Japanese",
    "euc_jp": "EUC-JP, Japanese",
    "gbk": "GBK, Simplified Chinese",
    "gb18030": "GB 18030, Chinese",
    "big5": "Big5, Traditional Chinese",
    "euc_kr": "EUC-KR, Korean",
}
_FOREIGN = ("shift_jis", "euc_jp", "gbk", "big5", "euc_kr", "cp1251", "koi8-r", "cp1253", "cp1255", "cp1256")
_WIDE = ("shift_jis", "euc_jp", "gbk", "big5", "euc_kr")
_FEW = 60  # bytes in lines that are not ASCII
_LATIN = ("cp1252", "cp1250", "mac_roman", "iso-8859-2", "cp1254")
# What is found beside letters without being a slip: quotation marks, dashes, currencies, hard spaces.
_NEUTRAL = frozenset("€£§°–—“”„‘’…«»©®™ºª·\u00a0")
_JOINING = frozenset("’‘·\u00a0")  # and these inside a word
_NEAR = 0.15  # two readings whose scores differ by less are about as good
_SURE = 0.1  # mess, as charset-normalizer measures it
_LETTERS_MAX = 20_000


@dataclass(frozen=True, slots=True)
class EncodingGuess:
    encoding: str
    rivals: tuple[str, ...] = ()  # others that are about as likely and read differently, the likeliest first
    is_sure: bool = True  # otherwise a person has to say which


def guess_encoding(data: bytes) -> EncodingGuess:
    """Return the likeliest encoding of a text with bytes above 127 that is not UTF-8."""
    lines = b"\n".join(line for line in data.splitlines() if not line.isascii())
    foreign, mess = _foreign(lines)
    if foreign and mess < _SURE and _is_of_its_script(lines.decode(foreign, "replace")):
        others = _other_scripts(lines, foreign)
        return EncodingGuess(foreign, others, is_sure=not others)
    scored = sorted(((_score(lines, encoding), encoding) for encoding in _LATIN), key=lambda found: -found[0])
    best_score, best = scored[0]
    if best == "cp1252" and any(byte in lines for byte in b"\x81\x8d\x8f\x90\x9d"):
        best = "iso-8859-1"  # these bytes mean nothing to Windows
    text = lines.decode(best, "replace")
    if not any(character.isalpha() for _, character, _ in _foreign_characters(text)):
        return EncodingGuess(best)  # signs such as that of the euro
    rivals = [name for score, name in scored[1:] if best_score - score < _NEAR and lines.decode(name, "replace") != text]
    if foreign and foreign not in rivals and (rivals or best_score < 0.5):
        rivals.append(foreign)
    # Text that is wholly plausible in the commonest encoding is not asked about, though others could be meant.
    is_plausible = best_score >= 1 and best == "cp1252"
    return EncodingGuess(best, tuple(rivals), is_sure=is_plausible or not rivals)


def _foreign(lines: bytes) -> tuple[str, float]:
    from charset_normalizer import from_bytes

    found = from_bytes(lines[:8192], cp_isolation=[*_FOREIGN, "cp1252"], threshold=0.9, preemptive_behaviour=False).best()
    if found is None or found.encoding.replace("_", "-") in ("cp1252", "utf-8"):
        return "", 1.0
    names = {name.replace("-", "_"): name for name in _FOREIGN}
    return names.get(found.encoding.replace("-", "_"), ""), float(found.chaos)


def _other_scripts(lines: bytes, encoding: str) -> tuple[str, ...]:
    """Return the other encodings of two bytes a character that a text of a few characters may have as well."""
    if encoding not in _WIDE or len(lines) > _FEW:
        return ()
    return tuple(name for name in _WIDE if name != encoding and _is_of_its_script(lines.decode(name, "replace")))


def _is_of_its_script(text: str) -> bool:
    """Tell whether words are of foreign letters throughout: in a Latin word they would stand among ASCII ones."""
    if "\ufffd" in text:
        return False
    found = [pair for pair in _foreign_characters(text[:_LETTERS_MAX]) if pair[1].isalpha()]
    mixed = sum(_is_latin(before) or _is_latin(after) for before, _, after in found)
    joined = sum(after.isalpha() and not after.isascii() for _, _, after in found)
    return bool(found) and mixed * 5 <= len(found) and joined * 3 >= len(found)


def _is_latin(character: str) -> bool:
    return character.isascii() and character.isalpha()


def _score(data: bytes, encoding: str) -> float:
    """Return how plausible a Latin reading is: 1 when all its letters are of one alphabet and none stands oddly."""
    text = data.decode(encoding, "replace")
    letters: list[str] = []
    odd = 0
    for before, character, after in _foreign_characters(text[:_LETTERS_MAX]):
        if _is_odd(before, character, after):
            odd += 1
        elif character.isalpha():
            letters.append(character.lower())
    total = odd + len(letters)
    if not total:
        return 1.0
    covered = max(sum(letter in alphabet for letter in letters) for alphabet in alphabets())
    prior = 0.05 if encoding == "cp1252" else 0.0
    return (covered - 3 * odd) / total + prior


def _foreign_characters(text: str) -> Iterator[tuple[str, str, str]]:
    padded = f" {text} "
    for position, character in enumerate(text):
        if not character.isascii():
            yield padded[position], character, padded[position + 2]


def _is_odd(before: str, character: str, after: str) -> bool:
    if not character.isalpha():
        touches = before.isalpha() and after.isalpha() if character in _NEUTRAL else before.isalpha() or after.isalpha()
        return touches and character not in _JOINING
    return character.isupper() and before.islower()


@cache
def alphabets() -> tuple[frozenset[str], ...]:
    text = Path(__file__).with_name("data").joinpath("alphabets.json").read_text(encoding="utf-8")
    return tuple(frozenset(letters) for letters in json.loads(text).values())
