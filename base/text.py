"""Text that can be stored and sent on: valid Unicode, storable in PostgreSQL, well-formed in XML.

Models, tools, providers and people send text that is none of that: half of an emoji's surrogate pair, a NUL, a vertical
tab. Each makes something fail much later (an encrypted field, a JSON answer, TwiML). So text is made valid once, where it
enters, and nothing behind that looks again.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Any

# XML 1.0, section 2.2 allows tab, line feed and carriage return of the control characters, and no surrogates; it advises
# against those from U+007F to U+009F but the line end U+0085, and spreadsheets drop them.
_INVALID = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]")
_SURROGATES = re.compile("[\ud800-\udfff]")
_SEPARATORS = dict.fromkeys(map(ord, "\x0b\x0c\x1c\x1d\x1e\x1f"), " ")
_REMOVED = dict.fromkeys([*range(9), *range(0x0E, 0x1C), *range(0x7F, 0x85), *range(0x86, 0xA0)])
_TABLE = _SEPARATORS | _REMOVED | {0xFFFE: "\ufffd", 0xFFFF: "\ufffd"}


def to_valid(text: str) -> str:
    """Return the text as valid Unicode that XML 1.0 and PostgreSQL take; the same object where it already is.

    Two halves of a surrogate pair become their character, a lone half becomes U+FFFD. Control characters are removed;
    those that separate (vertical tab, form feed) become a space.

    >>> to_valid("a\\u000bb \\ud83d")
    'a b �'
    """
    if not _INVALID.search(text):
        return text
    if _SURROGATES.search(text):
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text.translate(_TABLE)


def to_valid_json(value: Any) -> Any:
    """Return a decoded JSON value with every text in it made valid, names of members included."""
    if isinstance(value, str):
        return to_valid(value)
    if isinstance(value, list):
        return [to_valid_json(item) for item in value]
    if isinstance(value, dict):
        return {to_valid(name): to_valid_json(item) for name, item in value.items()}
    return value


def to_stored(text: str) -> str:
    """Return the text as it is stored and compared: valid, and composed (NFC), so that equal text is equal.

    >>> to_stored("Jose\\u0301") == "José"
    True
    """
    return unicodedata.normalize("NFC", to_valid(text))


_DECLARATION = re.compile(r"^[\ufeff\s]*<\?xml[^>]{0,200}\?>", re.IGNORECASE)


def without_xml_declaration(markup: str) -> str:
    """Return markup without the XML declaration it may begin with: parsers refuse one in text that is decoded already."""
    return _DECLARATION.sub("", markup, count=1)
