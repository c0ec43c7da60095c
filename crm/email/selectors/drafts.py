"""A mailing before it is sent: who would get it, what they would read, and what stands in the way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from billing.enums import Unit
from billing.services.estimating import Estimate, estimate
from crm.email.enums import SkipReason
from crm.email.models import Mailing
from crm.email.models.setup import email_settings
from crm.email.providers.registry import provider_name, reports_events
from crm.email.rendering.renderer import RenderError, Rendering
from crm.email.selectors.letters import empty_values, preview
from crm.email.services.audiences import Audience, audience_of, audience_page
from crm.email.services.senders import Sender, sender
from crm.models import Contact
from crm.selectors.contacts import FilterError
from tenants.context import current_tenant

WINDOW = 20  # recipients one can leaf through at a time


@dataclass(frozen=True, slots=True)
class Sample:
    """The message as one of the recipients would get it."""

    contact: Contact
    number: int  # from 1
    size: int
    rendering: Rendering | None
    error: str
    empty: Sequence[str]  # variables of the text this contact has nothing for

    @property
    def previous(self) -> int | None:
        return self.number - 1 if self.number > 1 else None

    @property
    def next(self) -> int | None:
        return self.number + 1 if self.number < self.size else None


@dataclass(frozen=True, slots=True)
class Draft:
    audience: Audience | None  # None: the selection is not understood
    sample: Sample | None
    sender: Sender
    obstacles: Sequence[str]  # why it cannot be sent, each with what to do
    cost: Estimate | None
    least_minutes: int | None  # at the organisation's limit it takes this long at least

    @property
    def can_start(self) -> bool:
        return not self.obstacles and self.audience is not None and self.audience.receiving > 0

    def why_not(self, *, seen: str) -> str:
        """Return what speaks against starting, for somebody whose button named `seen` recipients; "" for nothing."""
        if self.obstacles:
            return self.obstacles[0]
        receiving = self.audience.receiving if self.audience else 0
        if seen.isascii() and seen.isdigit() and receiving > int(seen[:18]):
            return f"Meanwhile {receiving:,} contacts would receive it, more than you saw. Look again, and send it then."
        return ""

    @property
    def empty_count(self) -> int:
        return self.audience.left_out.get(SkipReason.EMPTY_VALUE, 0) if self.audience else 0


def draft_of(mailing: Mailing, *, number: int = 1) -> Draft:
    obstacles = list(_obstacles(mailing))
    audience = None
    try:
        audience = audience_of(mailing=mailing)
    except FilterError as error:
        obstacles.append(f"{error} Choose the recipients again.")
    if audience is not None and not audience.receiving:
        obstacles.append("Nobody would receive it. Choose other recipients.")
    sample = sample_of(mailing, number) if audience is not None and audience.receiving else None
    if sample is not None and sample.error:
        obstacles.append(f"The text cannot be rendered for {sample.contact.name}: {sample.error} Change the template.")
    cost = _cost(audience.receiving) if audience is not None and audience.receiving else None
    if cost is not None and cost.objection:
        obstacles.append(cost.objection)
    least = -(-audience.receiving // email_settings().messages_per_minute) if audience is not None else None
    return Draft(audience, sample, sender(), obstacles, cost, least)


def _cost(receiving: int) -> Estimate | None:
    name = provider_name()
    if not name:
        return None
    return estimate(tenant=current_tenant(), provider=name, item="email", unit=Unit.MESSAGE, quantity=receiving)


def _obstacles(mailing: Mailing) -> Sequence[str]:
    found = []
    template = mailing.version.template
    if template.deleted_at is not None or template.current_id is None:
        found.append("The template was deleted. Choose another one.")
    elif not template.is_active:
        found.append("The template is switched off. Switch it on, or choose another one.")
    if reports_events() is None:
        found.append("No way of sending is configured on this installation. Whoever runs it can set one up.")
    return found


def sample_of(mailing: Mailing, number: int) -> Sample | None:
    """Return the message of one of the first recipients; None when there are none."""
    contacts = audience_page(mailing=mailing, reason=None, size=WINDOW)
    if not contacts:
        return None
    number = min(max(number, 1), len(contacts))
    contact = contacts[number - 1]
    version = mailing.text_version
    try:
        shown, error = preview(version=version, contact=contact), ""
    except RenderError as fault:
        shown, error = None, str(fault)
    return Sample(contact, number, len(contacts), shown, error, empty_values(version=version, contact=contact))
