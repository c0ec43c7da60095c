"""Do the links of a message lead somewhere, and are its pictures small enough? Looked at when somebody asks for it.

The requests go out by the same guarded way as webhooks: never to private addresses, within a time limit, and to the very
address that was judged. Nothing is followed and no body is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from django.conf import settings
from lxml import html as markup  # type: ignore[import-untyped]

from base.text import without_xml_declaration
from crm.email.rendering.checks import Finding
from crm.hooks.addresses import read_networks
from crm.hooks.enums import Problem
from crm.hooks.sending import Outcome, send

MOST = 20  # of one message
AT_ONCE = 5
TIMEOUT_S = 4.0
LARGE_BYTES = 1_000_000
HEADERS = {"User-Agent": "Thanotopolis-Link-Check/1", "Accept": "*/*"}
# Answers of servers that are there and only do not talk to programs.
_RESERVED = frozenset({401, 403, 405, 406, 429, 501, 503, 999})


def check_links(html: str) -> list[Finding]:
    """Return what is wrong with where a rendered message leads to. Asks the network; takes a few seconds at most."""
    pictures = dict(_addresses(html))
    allowed = read_networks(settings.ENV.webhook_allowed_networks)

    def ask(address: str) -> Outcome:
        return send(url=address, headers=HEADERS, allowed=allowed, method="HEAD", timeout_s=TIMEOUT_S)

    chosen = list(pictures)[:MOST]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        outcomes = dict(zip(chosen, pool.map(ask, chosen), strict=True))
    return list(_findings(outcomes, pictures, len(pictures) - len(chosen)))


def _addresses(html: str) -> Iterator[tuple[str, bool]]:
    """Yield each address of the web once, and whether it is that of a picture."""
    html = without_xml_declaration(html)
    if not html.strip():
        return
    tree: Any = markup.fromstring(html)
    for _, attribute, address, _ in tree.iterlinks():
        if address.lower().startswith(("http://", "https://")):
            yield address, attribute in ("src", "background")


def _findings(outcomes: Mapping[str, Outcome], pictures: Mapping[str, bool], left: int) -> Iterator[Finding]:
    for address, outcome in outcomes.items():
        name = "picture" if pictures[address] else "link"
        if words := _fault(address, outcome):
            yield Finding("warning", "html", None, f"The {name} {address[:120]} {words}")
        elif pictures[address] and (outcome.content_length or 0) > LARGE_BYTES:
            size = f"{outcome.content_length / 1_000_000:.1f} MB"  # type: ignore[operator]
            yield Finding("warning", "html", None, f"The picture {address[:120]} has {size}: on a phone that takes long.")
    if left:
        yield Finding("info", "html", None, f"The first {MOST} addresses were looked at, {left} were not.")


def _fault(address: str, outcome: Outcome) -> str:
    if outcome.problem == Problem.BAD_URL and address.lower().startswith("http://"):
        return "is not encrypted, and was not looked at: write https where the site has it."
    match outcome.problem:
        case Problem.NONE | Problem.REDIRECT:
            return ""
        case Problem.STATUS | Problem.GONE:
            return "" if outcome.status_code in _RESERVED else f"answers {outcome.status_code}: there is nothing."
        case Problem.TIMEOUT:
            return f"did not answer within {TIMEOUT_S:g} seconds."
        case Problem.CERTIFICATE | Problem.TLS:
            return "has no valid certificate: recipients are warned of it."
    return f"cannot be reached ({outcome.problem.label.lower()})."
