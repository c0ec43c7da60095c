"""What encrypted values are found by: keyed indexes of the whole, and of the parts people remember.

Of a number the last digits, of an e-mail address the domain and the beginning of what is before it, of a street each word.
An index says that two values share a part, and nothing else. No I/O.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from base.words import fold, index_words, query_words
from thanos.encryption import blind_index, blind_indexes

PARTS_VERSION = 1  # raise it, and reset the rows' to 0 in a migration, when what is indexed changes
PART_LENGTH = 16  # hex digits
TAILS = range(4, 11)  # how many last digits a number is found by
PREFIXES = range(3, 13)  # how many first letters of an address
MOST_WORDS = 40
_DOMAIN = re.compile(
    r"(?:https?://)?(?:www\.)?((?:[^\W_]|[^\W_][\w-]{0,61}[^\W_])(?:\.(?:[^\W_]|[^\W_][\w-]{0,61}[^\W_]))+)/?", re.I
)


def phone_indexes(phones: Iterable[Mapping[str, str]]) -> list[str]:
    """Return what is kept for numbers: the blind index of each, as it is looked up by, and those of its last digits."""
    numbers = {phone["number"] for phone in phones}
    tails = {number[-length:] for number in numbers for length in TAILS if len(number) > length}
    return sorted({blind_index(number) for number in numbers} | {_index("tail", tail) for tail in tails})


def email_parts(address: str) -> list[str]:
    """Return what is kept for an address: its domain and those above, and beginnings of the words before it."""
    local, _, domain = address.rpartition("@")
    if not local:
        return []
    labels = ascii_domain(domain).split(".")
    domains = {".".join(labels[n:]) for n in range(len(labels) - 1)}
    local = fold(local)
    words = {local, *filter(None, re.split(r"[^\w]|_", local))}
    starts = {word[:length] for word in words for length in PREFIXES} | words
    return sorted({_index("domain", domain) for domain in domains} | {_index("local", start) for start in starts})


def address_parts(address: str) -> list[str]:
    """Return what is kept for a street: its words."""
    return sorted({_index("street", word) for word in index_words(address)[:MOST_WORDS]})


def tails_asked(text: str) -> list[str]:
    """Return the indexes of the last digits a text is; none if it is no part of a number."""
    digits = "".join(character for character in text if character.isdecimal()).lstrip("0") or "0"
    # `0188` are the last digits as they stand; `01865 555010` begins with a zero that is not dialed from abroad.
    whole = "".join(character for character in text if character.isdecimal())
    asked = {form[-TAILS[-1] :] for form in (digits, whole) if len(form) >= TAILS[0]}
    return [index for tail in sorted(asked) for index in _indexes("tail", tail)]


def email_asked(text: str) -> list[list[str]]:
    """Return what an address must have of which one index each: for `fiona@`, `@find.example` and `find.example`."""
    local, at, domain = text.strip().rpartition("@")
    asked = []
    if local and (word := fold(local).strip()):
        asked.append(_indexes("local", word))
    found = _DOMAIN.fullmatch(domain.strip()) if at else _DOMAIN.fullmatch(text.strip())
    if found:
        asked.append(_indexes("domain", ascii_domain(found.group(1))))
    return asked


def street_asked(text: str) -> list[list[str]]:
    """Return what an address must have of which one index each, for the words of a street."""
    return [_indexes("street", word) for word in query_words(text)[:MOST_WORDS]]


def ascii_domain(domain: str) -> str:
    """Return a domain as the network spells it: `bücher.example` and `xn--bcher-kva.example` are one."""
    domain = domain.strip().rstrip(".").lower()
    if domain.isascii():
        return domain
    try:
        return domain.encode("idna").decode()
    except UnicodeError:
        return domain.casefold()


def _index(kind: str, value: str) -> str:
    return blind_index(f"{kind}:{value}")[:PART_LENGTH]


def _indexes(kind: str, value: str) -> list[str]:
    return [index[:PART_LENGTH] for index in blind_indexes(f"{kind}:{value}")]
