"""What a message's text is made of: its template's version, and the footer of e-mail to many."""

from __future__ import annotations

import re
from functools import lru_cache

from crm.email.models import EmailTemplateVersion
from crm.email.rendering.renderer import text_source
from crm.email.rendering.sources import Source
from crm.email.rendering.variables import LINKS, Use, catalogue, found_in

_END = re.compile(r"</body\s*>", re.IGNORECASE)


def source_of(*, version: EmailTemplateVersion, footer_html: str = "") -> Source:
    """Return the version's text; under it the footer, if it has no unsubscribe link of its own."""
    if not footer_html or not needs_footer(version):
        return Source(version.subject, version.html, version.text)
    ends = list(_END.finditer(version.html))
    at = ends[-1].start() if ends else len(version.html)
    html = f"{version.html[:at]}\n{footer_html}\n{version.html[at:]}"
    return Source(version.subject, html, f"{version.text}\n\n{text_source(footer_html)}" if version.text else "")


def needs_footer(version: EmailTemplateVersion) -> bool:
    return not {"unsubscribe_url", "preferences_url"} & set(version.variables)


def names_needed(*, version: EmailTemplateVersion, footer_html: str = "") -> set[str]:
    """Return the variables whose values are fixed with a message: all but the links, which belong to the message."""
    names = {use.name for use in _uses(source_of(version=version, footer_html=footer_html))}
    return (names | set(version.variables)) - set(LINKS)


def names_printed(*, version: EmailTemplateVersion) -> set[str]:
    """Return what the text prints of a contact with nothing in its place: who lacks it would read a gap."""
    printed = {use.name for use in _uses(source_of(version=version)) if use.is_printed_bare} - set(LINKS)
    if not printed:
        return printed
    ours = {name for name, variable in catalogue().items() if variable.kind in ("contact", "custom")}
    return printed & ours


@lru_cache(maxsize=64)
def _uses(source: Source) -> tuple[Use, ...]:
    return tuple(found_in(source))
