"""A template that is being written, as a contact would get it, and what is to be said about it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from django.core.cache import cache

from crm.email.rendering.checks import Emptiness, Finding, check, empty_values
from crm.email.rendering.renderer import RenderError, Rendering
from crm.email.rendering.sources import Source
from crm.email.selectors.templates import Example, example, find_contacts
from crm.email.services.templates import preview
from crm.models import Contact
from tenants.models import Tenant, User

DRAFT_KEPT_S = 1800  # what is written but not saved, for the frame that shows it
COUNT_KEPT_S = 60


@dataclass(frozen=True, slots=True)
class Preview:
    example: Example
    found: Sequence[Contact]  # by the search for another contact
    rendering: Rendering | None
    problem: Finding | None  # why there is none
    findings: Sequence[Finding]
    empty: Sequence[Emptiness]
    draft: str  # names the text for the frame

    def of_part(self, part: str) -> list[Finding]:
        return [finding for finding in self.findings if finding.part == part]

    @property
    def is_clean(self) -> bool:
        return not self.empty and all(finding.level == "info" for finding in self.findings)


def make_preview(source: Source, *, contact_id: int | None, find: str, tenant: Tenant, user: User) -> Preview:
    chosen = example(contact_id)
    findings = check(source)
    rendering, problem = None, None
    try:
        rendering = preview(source=source, contact=chosen.contact)
    except RenderError as error:
        problem = Finding("error", error.part, error.line, str(error))
        if all((problem.part, problem.line) != (finding.part, finding.line) for finding in findings):
            findings = [problem, *findings]
    return Preview(
        example=chosen,
        found=find_contacts(find, tenant=tenant, user=user) if find.strip() else [],
        rendering=rendering,
        problem=problem,
        findings=findings,
        empty=[] if problem else _empty_values(source),
        draft=keep_draft(source, user) if rendering else "",
    )


def _empty_values(source: Source) -> list[Emptiness]:
    """Counting looks at thousands of contacts; while somebody types, a minute-old count will do."""
    key = f"email:empty:{_digest(source)}"
    found: list[Emptiness] | None = cache.get(key)
    if found is None:
        found = empty_values(source)
        cache.set(key, found, COUNT_KEPT_S)
    return found


def keep_draft(source: Source, user: User) -> str:
    """Keep a text for a while, for this person alone, and return what it is called."""
    name = _digest(source)
    cache.set(f"email:draft:{user.pk}:{name}", [source.subject, source.html, source.text], DRAFT_KEPT_S)
    return name


def kept_draft(name: str, user: User) -> Source | None:
    parts = cache.get(f"email:draft:{user.pk}:{name}")
    return Source(*parts) if parts else None


def _digest(source: Source) -> str:
    parts = json.dumps([source.subject, source.html, source.text]).encode()
    return hashlib.sha256(parts).hexdigest()[:32]
