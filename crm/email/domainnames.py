"""What people type when they are asked for a domain, as DNS has it; or why it cannot be one. No I/O but two lists.

People paste what they have: an address of a page, an e-mail address, a name with a dot at its end. All of these name a
domain well enough. What nobody can prove to own is refused here, before anybody waits three days for it: a public
ending (from the Public Suffix List, which comes with its library), the mail providers everybody uses, and the ways
people mistype them (both in `data/mail_providers.json`).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from ipaddress import ip_address
from pathlib import Path

import idna
from publicsuffixlist import PublicSuffixList

LONGEST = 253
LONGEST_LABEL = 63
LONGEST_INPUT = 1000
_IMPOSSIBLE = "This is not a domain that can exist: it contains characters which no domain may have."
_DATA = Path(__file__).resolve().parent / "data" / "mail_providers.json"
_SCHEME = re.compile(r"^(?:[a-z][a-z0-9+.-]*:)?//|^mailto:", re.IGNORECASE)
_PORT = re.compile(r":\d*$")
_INVISIBLE = str.maketrans("", "", "\u00ad\u200b\u200c\u200d\u200e\u200f\u2060\ufeff")
_IDEOGRAPHIC_DOTS = str.maketrans("。．｡", "...")  # full stops that DNS takes for its own (RFC 3490 §3.1)


class DomainNameError(ValueError):
    """What was typed is not a domain one can write e-mail from; the text is for the person who typed it."""


@dataclass(frozen=True, slots=True)
class _Known:
    providers: frozenset[str]
    typos: dict[str, str]
    endings: dict[str, str]


@cache
def _known() -> _Known:
    data = json.loads(_DATA.read_text())
    return _Known(frozenset(data["providers"]), data["typos"], data["endings"])


@cache
def _suffixes() -> PublicSuffixList:
    return PublicSuffixList()  # reads its own file, once: a tenth of a second


def read_domain(typed: str) -> str:
    """Return the domain in ASCII and lower case, as DNS has it. Raises DomainNameError."""
    host = _host_of(typed)
    _refuse_addresses(host)
    domain = _to_ascii(host)
    if "." not in domain:
        raise DomainNameError("Write the whole domain, with its ending, such as acme.com.")
    if domain.startswith("www.") and registrable(domain.removeprefix("www.")):
        domain = domain.removeprefix("www.")  # a page's address: nobody writes e-mail from there
    _refuse_unprovable(domain)
    return domain


def _host_of(typed: str) -> str:
    """The host in an address of a page, an e-mail address, or a name alone."""
    if len(typed) > LONGEST_INPUT:
        raise DomainNameError(f"A domain has at most {LONGEST} characters.")
    text = _SCHEME.sub("", typed.translate(_INVISIBLE).strip())
    if any(ord(character) < 32 for character in text):
        raise DomainNameError(_IMPOSSIBLE)
    text = re.split(r"[/?#\\]", text, maxsplit=1)[0].rpartition("@")[2]
    if not text.startswith("[") and text.count(":") == 1:
        text = _PORT.sub("", text)
    host = text.translate(_IDEOGRAPHIC_DOTS).strip().strip("<>\"'").removesuffix(".")
    if not host:
        raise DomainNameError("Write the domain you want to send e-mail from, such as acme.com.")
    return host


def _refuse_addresses(host: str) -> None:
    try:
        ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        is_address = ":" in host or host.rpartition(".")[2].isdecimal()  # no ending is a number
    else:
        is_address = True
    if is_address:
        raise DomainNameError("This is an address of a machine, not a domain. Write a name such as acme.com.")


def _to_ascii(host: str) -> str:
    labels = host.split(".")
    if "" in labels:
        raise DomainNameError("Two dots in a row, or a dot at the beginning: a part of the domain is missing.")
    if any(character.isspace() for character in host):
        raise DomainNameError("A domain has no spaces in it.")
    if any(label[0] == "-" or label[-1] == "-" for label in labels):
        raise DomainNameError("No part of a domain begins or ends with a hyphen.")
    try:
        # UTS 46 as browsers do it: capitals and wide letters are folded, ß stays itself.
        return idna.encode(host, uts46=True, std3_rules=True).decode()
    except (idna.IDNAError, UnicodeError) as error:
        raise DomainNameError(_why_not(host, labels, error)) from None


def _why_not(host: str, labels: list[str], error: Exception) -> str:
    if "Domain too long" in str(error):
        return f"A domain has at most {LONGEST} characters."
    if "too long" in str(error):
        longest = max(labels, key=len)
        where = f"“{longest[:20]}…”" if len(longest) > LONGEST_LABEL else "a part of this one"
        return f"Between two dots a domain has at most {LONGEST_LABEL} characters; {where} has more."
    odd = next((character for character in host if not (character.isalnum() or character in ".-")), "")
    if odd and odd.isprintable():
        return f"A domain cannot contain “{odd}”."
    return _IMPOSSIBLE


def _refuse_unprovable(domain: str) -> None:
    known, ending = _known(), domain.rpartition(".")[2]
    if meant := known.typos.get(domain):
        raise DomainNameError(
            f"Did you mean {meant}? You cannot prove that either of them is yours: use a domain of your own."
        )
    if meant := known.endings.get(ending):
        better = domain.removesuffix(ending) + meant
        raise DomainNameError(f"There is no ending “.{ending}”. Did you mean {better}?")
    own = registrable(domain)
    if own is None:
        raise DomainNameError(
            f"{display(domain)} is a public ending that nobody owns. Write what you have registered below it."
        )
    if own in known.providers:
        raise DomainNameError(
            f"{own} belongs to a mail provider: you cannot prove that it is yours. Use a domain of your own."
        )


def registrable(domain: str) -> str | None:
    """Return what somebody has registered (`acme.co.uk` of `mail.acme.co.uk`); None for a public ending itself."""
    found: str | None = _suffixes().privatesuffix(domain)
    return found


def short_host(host: str, *, domain: str) -> str:
    """Return what most DNS panels want of a record's full name: without the zone's name; `@` for the zone itself."""
    zone = registrable(domain) or domain
    if host == zone:
        return "@"
    return host.removesuffix(f".{zone}")


def display(domain: str) -> str:
    """Return the domain as people read it: `müller.de` of `xn--mller-kva.de`."""
    try:
        return str(idna.decode(domain)) if "xn--" in domain else domain
    except (idna.IDNAError, UnicodeError):
        return domain
