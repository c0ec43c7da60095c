"""The pages a person who manages contacts looks at, each with what it asks for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from bench.population import BUSIEST, OLD_SOURCE, RARE_WORD, email_of, phone_of

if TYPE_CHECKING:
    from tenants.models import Tenant

LIST, BOARD, TASKS, ACTIVITY = "/crm/contacts/", "/crm/board/", "/crm/tasks/", "/crm/activity/"


@dataclass(frozen=True, slots=True)
class Page:
    name: str
    path: str
    is_htmx: bool = False


def pages(tenant: Tenant) -> list[Page]:
    """Return every page with values that occur in this tenant."""
    from tenants.context import entered

    with entered(tenant):
        return [*_filters(), *_combined(), *_sorts(), *_deep(), *_searches(), *_boards(), *_others()]


def _list(name: str, *, is_htmx: bool = False, path: str = LIST, **query: str) -> Page:
    return Page(name, f"{path}?{urlencode(query)}" if query else path, is_htmx)


def _day(ago: int) -> str:
    return str((datetime.now(UTC) - timedelta(days=ago)).date())


def _filters() -> Iterator[Page]:
    yield _list("list, table")
    yield _list("list, cards", layout="cards")
    yield _list("list, what a filter replaces", is_htmx=True)
    common, middling, rare = _cities()
    yield _list("list, status, common", status="lead")
    yield _list("list, status, rare", status="closed_won")
    yield _list("list, city, common", city=common[0])
    yield _list("list, city, middling", city=middling[0])
    yield _list("list, city, rare", city=rare[0])
    yield _list("list, state", state=common[1])
    yield _list("list, owner, me", owner="me")
    yield _list("list, owner, nobody", owner="none")
    yield _list("list, tag, common", tag="partner")
    yield _list("list, tag, rare", tag="campaign 32")
    yield _list("list, source", source="referral")
    yield _list("list, source of the oldest only", source=OLD_SOURCE)
    yield _list("list, score at least, common", score_min="10")
    yield _list("list, score at least, rare", score_min="55")
    yield _list("list, score at most, rare", score_max="-35")
    yield _list("list, created this week", created_from=_day(7))
    yield _list("list, created in a week long ago", created_from=_day(707), created_to=_day(700))
    yield _list("list, created up to two years ago", created_to=_day(730))
    yield _list("list, not contacted for a month", quiet_since=_day(30))
    yield _list("list, not contacted for three years", quiet_since=_day(1090))
    yield _list("list, has an open task", has_task="yes")
    yield _list("list, has no open task", has_task="no")
    yield _list("list, wants no contact", no_contact="yes")
    yield _list("list, wants contact", no_contact="no")
    yield Page("list, one import", f"{LIST}?import=1")
    yield from _custom_fields()


def _custom_fields() -> Iterator[Page]:
    yield _list("list, custom text, common", cf_branch_code="B-0001")
    yield _list("list, custom text, rare", cf_branch_code="B-4321")
    yield _list("list, custom number, common", cf_employees_min="10")
    yield _list("list, custom number, rare", cf_employees_min="2000")
    yield _list("list, custom money", cf_contract_min="2000", cf_contract_max="2100")
    yield _list("list, custom date, common", cf_renewal_on_min=_day(300))
    yield _list("list, custom date, one day", cf_renewal_on_min=_day(100), cf_renewal_on_max=_day(100))
    yield _list("list, custom date and time", cf_last_visit_min=_day(300), cf_last_visit_max=_day(295))
    yield _list("list, custom e-mail", cf_billing_email=_custom_value("billing_email"))
    yield _list("list, custom phone", cf_assistant_phone=_custom_value("assistant_phone"))
    yield _list("list, custom web address", cf_shop=_custom_value("shop"))
    yield _list("list, custom select, common", cf_industry="Retail")
    yield _list("list, custom select, rare", cf_industry="Fishing")
    yield _list("list, custom multi-select, one", cf_interests="Training")
    yield _list("list, custom boolean", cf_newsletter="yes")
    yield _list("list, custom boolean, no", cf_newsletter="no")


def _combined() -> Iterator[Page]:
    common, middling, _ = _cities()
    yield _list("list, common and common, many", status="lead", owner="me")
    yield _list("list, common and common, few", status="lead", tag="vip")
    yield _list("list, common and common, none", source=OLD_SOURCE, created_from=_day(300))
    yield _list("list, tag and source and status", tag="partner", source="referral", status="customer")
    yield _list("list, city and status", city=common[0], status="customer")
    yield _list("list, two cities and owner", city=middling[0], owner="me", state=middling[1])
    yield _list("list, custom and custom", cf_industry="Retail", cf_newsletter="yes", cf_employees_min="50")
    yield _list("list, many conditions", status="customer", owner="me", has_task="yes", score_min="10", cf_newsletter="yes")
    yield _list("list, oldest source by name", source=OLD_SOURCE, sort="name")
    yield _list("list, oldest source by touched", source=OLD_SOURCE, sort="-touched")
    yield _list("list, VIPs by score", tag="vip", sort="-score")
    yield _list("list, quiet, longest first", quiet_since=_day(30), sort="touched")
    yield _list("list, low scores, highest first", score_max="-15", sort="-score")
    yield _list("list, high scores, lowest first", score_min="40", sort="score")
    yield _list("list, customers by name", status="customer", sort="name")


def _sorts() -> Iterator[Page]:
    from crm.filters import DEFAULT_SORT, SORTS

    for sort, label in SORTS.items():
        if sort != DEFAULT_SORT:
            yield _list(f"list, sorted: {label.lower()}", sort=sort)


def _deep() -> Iterator[Page]:
    yield _list("list, a page in the middle", cursor=_cursor("-created"))
    yield _list("list by name, a page in the middle", sort="name", cursor=_cursor("name"))
    yield _list("list by score, a page in the middle", sort="-score", cursor=_cursor("-score"))
    yield _list("list, a status, in the middle", status="customer", cursor=_cursor("-created"))
    yield _list("list, VIPs, in the middle", tag="vip", cursor=_cursor("-created"))
    yield _list("list, more below", is_htmx=True, cursor=_cursor("-created"))


def _searches() -> Iterator[Page]:
    contact = _somebody()
    yield _list("search, first letter", q="m")
    yield _list("search, common beginning", q="mar")
    yield _list("search, common beginning, as typed", is_htmx=True, q="mar")
    yield _list("search, rare word", q=RARE_WORD)
    yield _list("search, no such word", q="xylophonist")
    yield _list("search, somebody's two names", q=contact)
    yield _list("search, two common words", q="mar w")
    yield _list("search, number", q=phone_of(7))
    yield _list("search, e-mail address", q=email_of(7))
    yield _list("search, a word in a status", q="mar", status="customer")
    yield _list("search, common beginning by name", q="mar", sort="name")
    yield _list("search, a city's beginning", q=_cities()[0][0][:4])


def _boards() -> Iterator[Page]:
    common = _cities()[0]
    yield _list("board", path=BOARD)
    yield _list("board, owner", path=BOARD, owner="me")
    yield _list("board, city", path=BOARD, city=common[0])
    yield _list("board, tag", path=BOARD, tag="vip")
    yield _list("board, source of the oldest only", path=BOARD, source=OLD_SOURCE)
    yield _list("board, search", path=BOARD, q="mar")
    yield _list("board, custom field", path=BOARD, cf_industry="Fishing")


def _others() -> Iterator[Page]:
    yield Page("contact, few interactions", f"{LIST}{BUSIEST + 1}/")
    yield Page("contact, 10,000 interactions", f"{LIST}{BUSIEST}/")
    yield Page("contact, 10,000 interactions, meetings", f"{LIST}{BUSIEST}/?kind=meeting")
    yield Page("contact, 10,000 interactions, far down", f"{LIST}{BUSIEST}/?cursor={_entry_cursor(BUSIEST)}", True)
    yield Page("contact, form", f"{LIST}{BUSIEST + 1}/edit/")
    yield _list("duplicates, as typed", path=f"{LIST}duplicates/", contact_name=_somebody(), contact_email=email_of(7))
    yield _list("suggestions, cities", path="/crm/suggestions/city/", city="ma")
    yield Page("bin", f"{LIST}bin/")
    yield _list("tasks, mine", path=TASKS)
    yield _list("tasks, everybody's", path=TASKS, whose="everybody")
    yield _list("tasks, everybody's, overdue", path=TASKS, whose="everybody", when="overdue")
    yield _list("tasks, everybody's, later", path=TASKS, whose="everybody", when="later")
    yield Page("dashboard", "/crm/")
    yield Page("activity", ACTIVITY)
    yield _list("activity, meetings", path=ACTIVITY, kind="meeting")
    yield _list("activity, follow-ups", path=ACTIVITY, kind="follow_up")
    yield _list("activity, a page in the middle", path=ACTIVITY, cursor=_entry_cursor(None))


# --- values that occur -----------------------------------------------------------------------------------------------


def _cities() -> list[tuple[str, str]]:
    """Return a common, a middling and a rare city, each with its state."""
    from django.db.models import Count

    from crm.models import Contact

    found = Contact.objects.live().exclude(city="").order_by().values_list("city", "state").annotate(n=Count("pk"))
    ranked = list(found.order_by("-n", "city"))
    return [ranked[0][:2], ranked[len(ranked) // 20][:2], ranked[-1][:2]]


def _custom_value(key: str) -> str:
    from crm.models import Contact

    contact = Contact.objects.live().filter(custom_fields__has_key=key).order_by("pk")[0]
    return str(contact.custom_fields[key])


def _somebody() -> str:
    from crm.models import Contact

    return str(Contact.objects.live().exclude(contact_name="").order_by("pk")[20].contact_name)


def _cursor(sort: str) -> str:
    """Return the cursor of a contact half-way down the list."""
    from crm.models import Contact
    from crm.selectors.contacts import _ORDERS, write_cursor

    expression, column = _ORDERS[sort.removeprefix("-")]
    live = Contact.objects.live()
    contact = live.order_by(expression, "id")[live.count() // 2]
    return write_cursor(contact, sort, column)


def _entry_cursor(contact: int | None) -> str:
    from crm.models import Interaction
    from crm.selectors.timeline import _write

    entries = Interaction.objects.filter(contact=contact) if contact else Interaction.objects.all()
    return str(_write(entries.order_by("-interaction_date", "-id")[entries.count() // 2]))
