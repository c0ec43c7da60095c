"""The text of bytes whose encoding is declared, or has to be guessed. Pure."""

from __future__ import annotations

import codecs
import re

from base.text import to_valid

# The names that browsers take for another encoding than Python does (WHATWG Encoding Standard, section 4.2).
_LABELS = {
    "ascii": "cp1252",
    "us-ascii": "cp1252",
    "iso-8859-1": "cp1252",
    "iso8859-1": "cp1252",
    "latin1": "cp1252",
    "latin-1": "cp1252",
    "x-cp1250": "cp1250",
    "x-cp1251": "cp1251",
    "x-cp1252": "cp1252",
    "iso-8859-9": "cp1254",
    "latin5": "cp1254",
    "iso-8859-11": "cp874",
    "tis-620": "cp874",
    "windows-874": "cp874",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "x-gbk": "gb18030",
    "big5": "big5hkscs",
    "shift_jis": "cp932",
    "shift-jis": "cp932",
    "sjis": "cp932",
    "x-sjis": "cp932",
    "windows-31j": "cp932",
    "x-euc-jp": "euc_jp",
    "euc-kr": "cp949",
    "ks_c_5601-1987": "cp949",
    "macintosh": "mac_roman",
    "x-mac-cyrillic": "mac_cyrillic",
    "iso-8859-8-i": "iso8859_8",
    "unicode": "utf-16",
}
# Those that Python knows and no document is in: they turn letters into other letters.
_NO_ENCODINGS = {"idna", "punycode", "utf-7", "unicode_escape", "raw_unicode_escape", "undefined", "mbcs", "oem"}
_BOMS = [
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
]
_SEVEN_BITS = ("iso2022", "hz")  # of which every byte is ASCII
# What documents of the last thirty years were saved in, for guessing.
_GUESSED = [
    "cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "cp1258", "cp874", "koi8_r", "cp866",
    "cp932", "euc_jp", "gb18030", "big5", "cp949", "mac_roman", "mac_cyrillic",
]  # fmt: skip
_DECLARED = re.compile(
    rb"""<\?xml[^>]{0,200}?\bencoding\s*=\s*["']?\s*([\w.:-]+)|<meta[^>]{0,500}?\bcharset\s*=\s*["']?\s*([\w.:-]+)""",
    re.IGNORECASE,
)
_LOOKED_AT = 4_096  # bytes: where a declaration stands, if there is one
_FEW_BAD = 0.02  # of the bytes beyond ASCII: so many wrong ones are a slip, and the rest is UTF-8 all the same
_MOST_ACCENTS = 0.4  # of the letters: Vietnamese has the most, a quarter


def declared_encoding(data: bytes) -> str:
    """Return the encoding that HTML or XML declares for itself, as it spells it; empty without one."""
    found = _DECLARED.search(data[:_LOOKED_AT])
    return (found[1] or found[2]).decode("ascii", "replace") if found else ""


def decode(data: bytes, warnings: list[str], *, declared: str = "") -> str:
    """Return the text, with lines ended by `\\n`. What is doubtful about it is added to the warnings.

    A byte order mark counts most, then valid UTF-8 (by accident it is next to impossible), then what is declared.
    """
    text = _decoded(data, warnings, declared)
    return to_valid(text.replace("\r\n", "\n").replace("\r", "\n"))


def _decoded(data: bytes, warnings: list[str], declared: str) -> str:
    for bom, encoding in _BOMS:
        if data.startswith(bom):
            return _replaced(data, encoding, warnings)
    codec = _codec(declared)
    if data.isascii() and not codec.startswith(_SEVEN_BITS):
        return data.decode("ascii") if b"\0" not in data else _without_mark(data, warnings)
    if b"\0" in data[:_LOOKED_AT]:
        return _without_mark(data, warnings)
    try:
        if not codec.startswith(_SEVEN_BITS):
            return data.decode("utf-8")
    except UnicodeDecodeError:
        pass
    if codec and not codec.startswith(("utf", "utf_")):
        text = _replaced(data, codec, warnings)
        if not _is_probable(text):
            warnings.append(f"It says that it is in {declared}, but its letters are improbable. Check that they are right.")
        return text
    text = data.decode("utf-8", "replace")
    if text.count("\ufffd") <= _FEW_BAD * sum(byte > 127 for byte in data) or codec.startswith("utf"):
        return _replaced(data, "utf-8", warnings)
    return _guessed(data, warnings)


def _codec(label: str) -> str:
    """Return Python's name of an encoding; empty if there is none of that name."""
    name = _LABELS.get(label.strip().lower(), label.strip())
    try:
        info = codecs.lookup(name)
    except (LookupError, ValueError):
        return ""
    is_text = getattr(info, "_is_text_encoding", True) and info.name not in _NO_ENCODINGS
    return info.name if is_text else ""


def _replaced(data: bytes, encoding: str, warnings: list[str]) -> str:
    text = data.decode(encoding, "replace")
    bad = text.count("\ufffd") - data.count(b"\xef\xbf\xbd")
    if bad == 1:
        warnings.append("1 character could not be read. \ufffd stands in its place.")
    elif bad > 1:
        warnings.append(f"{bad:,} characters could not be read. \ufffd stands in their place.")
    return text


def _without_mark(data: bytes, warnings: list[str]) -> str:
    """UTF-16 that does not say so: of most letters one byte is zero, always the first or always the second."""
    first, second = data[: 2 * _LOOKED_AT : 2].count(0), data[1 : 2 * _LOOKED_AT : 2].count(0)
    if max(first, second) * 8 > min(len(data), 2 * _LOOKED_AT) // 2 and min(first, second) * 4 < max(first, second):
        return _replaced(data, "utf-16-be" if first > second else "utf-16-le", warnings)
    return _replaced(data, "utf-8", warnings)


def _guessed(data: bytes, warnings: list[str]) -> str:
    from charset_normalizer import from_bytes

    best = from_bytes(data, cp_isolation=_GUESSED).best()
    western = data.decode("cp1252", "replace")
    if best is None:
        warnings.append("It does not say which encoding it is in. Check that its letters are right, or save it as UTF-8.")
        return western
    text = str(best)
    if text == western and _is_probable(text):
        return text
    name = best.encoding.replace("cp12", "windows-12")
    warnings.append(f"It does not say which encoding it is in, and was read as {name}. Check that its letters are right.")
    return text


def _is_probable(text: str) -> bool:
    """Tell whether text looks like some language's rather than like bytes of another encoding."""
    letters = [character for character in text[:20_000] if character.isalpha()]
    accented = sum("\u00c0" <= character <= "\u00ff" for character in letters)
    has_controls = any("\x80" <= character <= "\x9f" for character in text[:20_000])
    return not has_controls and accented <= max(2, _MOST_ACCENTS * len(letters))
