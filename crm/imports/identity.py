"""Whether two names can be the same contact's. A number or an address is often shared: a switchboard, a family, info@.

So where names contradict, a shared number or address proves nothing. No I/O.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from crm.folding import fold
from crm.names import TITLES

_WORD = re.compile(r"\w+")
_UMLAUT = re.compile("ae|oe|ue")
_LEGAL = frozenset(
    [
        "gmbh",
        "ag",
        "kg",
        "ug",
        "ohg",
        "gbr",
        "inc",
        "llc",
        "ltd",
        "limited",
        "plc",
        "corp",
        "corporation",
        "company",
        "co",
        "sa",
        "sarl",
        "srl",
        "bv",
        "nv",
        "oy",
        "ab",
        "as",
        "aps",
        "spa",
        "pty",
        "the",
        "and",
        "und",
        "et",
        "y",
        "e",
    ]
)


@dataclass(frozen=True, slots=True)
class Identity:
    person: tuple[str, ...]
    business: frozenset[str]


@lru_cache(maxsize=20_000)
def identity_of(person: str, business: str) -> Identity:
    """Return the words by which names are compared: folded, without titles and legal forms."""
    return Identity(tuple(_words(person, TITLES)), frozenset(_words(business, _LEGAL)))


def _words(text: str, without: frozenset[str]) -> list[str]:
    # Müller is also written Mueller.
    words = [_UMLAUT.sub(lambda found: found.group()[0], word) for word in _WORD.findall(fold(text))]
    return [word for word in words if word not in without] or words


def contradict(one: Identity, other: Identity, *, shared_address: bool) -> bool:
    """Tell whether these are two contacts although they share a number, or an e-mail address if `shared_address`.

    >>> ann, bob = identity_of("Dr. Ann Lee", ""), identity_of("Bob Lee", "")
    >>> contradict(ann, bob, shared_address=True), contradict(ann, identity_of("A. Lee", ""), shared_address=False)
    (True, False)
    """
    if one.person and other.person:
        return not _may_be_one(one.person, other.person, same_given_name_will_do=shared_address)
    if one.business and other.business:
        return not one.business & other.business
    return False


def _may_be_one(one: tuple[str, ...], other: tuple[str, ...], *, same_given_name_will_do: bool) -> bool:
    short, long = sorted((one, other), key=len)
    if all(any(_same_word(word, each) for each in long) for word in short):
        return True
    return same_given_name_will_do and len(one[0]) > 1 and one[0] == other[0]


def _same_word(one: str, other: str) -> bool:
    """Equal, or one is the initial of the other."""
    return one == other or (min(len(one), len(other)) == 1 and one[0] == other[0])
