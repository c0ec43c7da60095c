"""Which addresses a webhook may reach. No I/O: names are looked up elsewhere, the answers are judged here.

A tenant chooses the URL, and our machine sends the request: without these rules a tenant could talk to our database's
port or to a cloud's metadata service. So every address of the host has to be on the public internet, also the IPv4 one
inside an IPv6 one, and the connection is made to the very address that was judged (a second look-up might say
something else). The installation's owner can open networks of their own with WEBHOOK_ALLOWED_NETWORKS.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import quote, urlsplit

from crm.hooks.enums import Problem

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

MAX_URL_LENGTH = 1000
_CONTROL = re.compile(r"[\x00-\x20\x7f\\]")

# Written down rather than left to `is_global`, whose opinion changes between Python's versions.
_REFUSED_V4 = [
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "168.63.129.16/32",  # public by number, but inside Azure it is the host's own management address
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/3",  # multicast, reserved and broadcast
    )
]
_UNICAST_V6 = IPv6Network("2000::/3")  # everything else is local, multicast or unassigned
_REFUSED_V6 = [IPv6Network(network) for network in ("2001::/23", "2001:db8::/32", "3fff::/20")]
_NAT64 = IPv6Network("64:ff9b::/96")
_SIX_TO_FOUR = IPv6Network("2002::/16")


class AddressError(ValueError):
    """The URL may not be used. Its text is for the person who wrote it."""

    def __init__(self, problem: Problem, why: str) -> None:
        super().__init__(why)
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Target:
    """Where a request goes, as the URL says it: `host` in ASCII, `path` with its query, ready for the request line."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """The value of the `Host` header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.scheme == "https" else 80) else f"{host}:{self.port}"


def parse_url(url: str) -> Target:
    """Raises AddressError."""
    if len(url) > MAX_URL_LENGTH:
        raise _bad(f"The address is longer than {MAX_URL_LENGTH} characters.")
    if _CONTROL.search(url):
        raise _bad("The address contains a space or another character that does not belong there.")
    try:
        parts = urlsplit(url)
        port = parts.port
        host = _ascii_host(parts.hostname or "")
    except ValueError:
        raise _bad("This is not an address. Write it in full, such as https://example.com/hooks.") from None
    if parts.scheme not in ("https", "http") or not host or port == 0:
        raise _bad("Write the address in full, such as https://example.com/hooks.")
    if "@" in parts.netloc:
        raise _bad("Leave user name and password out of the address; check the signature instead.")
    query = f"?{quote(parts.query, safe=_SAFE)}" if parts.query else ""
    path = quote(parts.path or "/", safe=_SAFE) + query
    return Target(parts.scheme, host, port or (443 if parts.scheme == "https" else 80), path)


_SAFE = "/?:@!$&'()*+,;=~%-._[]"


def _bad(why: str) -> AddressError:
    return AddressError(Problem.BAD_URL, why)


def _ascii_host(host: str) -> str:
    """Raises ValueError (UnicodeError is one) for a name that cannot be one."""
    if ":" in host:
        return str(IPv6Address(host.partition("%")[0]))
    return host.encode("idna").decode("ascii").lower().rstrip(".")


def check_addresses(target: Target, found: Iterable[str], *, allowed: Sequence[Network]) -> list[str]:
    """Return the addresses that may be connected to. Raises AddressError if ANY of them may not be.

    One bad address among good ones refuses the whole name: it is how a rebinding attack looks.
    """
    addresses = [ip_address(text.partition("%")[0]) for text in found]
    if not addresses:
        raise AddressError(Problem.UNKNOWN_HOST, f"{target.host} could not be found. Check the spelling.")
    is_opened = all(_is_in(address, allowed) for address in addresses)
    if target.scheme != "https" and not is_opened:
        raise _bad("Use https: what is sent holds people's names and numbers.")
    for address in addresses:
        if not (is_public(address) or _is_in(address, allowed)):
            why = f"{target.host} is not on the public internet, so nothing can be sent there."
            raise AddressError(Problem.FORBIDDEN_ADDRESS, why)
    return [str(address) for address in addresses]


def is_public(address: Address) -> bool:
    if isinstance(address, IPv4Address):
        return address.is_global and not any(address in network for network in _REFUSED_V4)
    inner = _embedded(address)
    if inner is not None:
        return is_public(inner)
    return address in _UNICAST_V6 and address.is_global and not any(address in network for network in _REFUSED_V6)


def _embedded(address: IPv6Address) -> IPv4Address | None:
    """Return the IPv4 address that traffic for this one ends up at: mapped, behind NAT64, or 6to4."""
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.sixtofour if address in _SIX_TO_FOUR else None


def _is_in(address: Address, networks: Sequence[Network]) -> bool:
    plain = address.ipv4_mapped or address if isinstance(address, IPv6Address) else address
    return any(plain.version == network.version and plain in network for network in networks)


def read_networks(texts: Iterable[str]) -> list[Network]:
    return [ip_network(text) for text in texts]
