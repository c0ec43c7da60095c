"""E-mail addresses as they are compared: two spellings of one mailbox are one."""

from __future__ import annotations

import unicodedata

import idna

_DOTS = str.maketrans("。．｡", "...")  # full stops that DNS takes for its own (RFC 3490 §3.1)


def comparable(address: str) -> str:
    """Return the address in lower case, composed, its domain as DNS has it. Never raises: other text is only folded.

    >>> comparable("Kontakt@Bücher.example")
    'kontakt@xn--bcher-kva.example'
    """
    composed = unicodedata.normalize("NFC", "".join(address.split()))
    local, at, domain = composed.rpartition("@")
    if not at:
        return composed.casefold()
    domain = domain.translate(_DOTS).lower().rstrip(".")  # not casefold: "straße" and "strasse" are two domains
    if not domain.isascii():
        try:
            domain = idna.encode(domain, uts46=True).decode()
        except (idna.IDNAError, UnicodeError):
            pass  # no domain: it is compared as it is written
    return f"{local.casefold()}@{domain}"
