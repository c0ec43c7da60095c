"""E-mail to many, from a list of contacts to the recipient who has enough of it: in a real browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from sandbox.sendgrid.letters import Copy
from tests.installation import Installation, wait_for
from tests.visitor import Visitor

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.xdist_group("pages")]

PAGES = [
    "/crm/email/",
    "/crm/email/new/",
    "/crm/email/templates/",
    "/crm/email/templates/new/",
    "/crm/email/templates/1/",
    "/crm/email/templates/1/versions/",
    "/crm/email/sequences/",
    "/crm/email/sequences/new/",
    "/settings/email/domains/",
    "/settings/email/domains/new/",
    "/settings/email/",
    "/settings/email/suppressions/",
]


@pytest.fixture
def visitor(browser: Browser, site: str) -> Iterator[Visitor]:
    guest = Visitor(browser, site, viewport={"width": 1280, "height": 900})
    yield guest
    guest.context.close()
    assert guest.faults == []


@pytest.fixture
def plain(browser: Browser, site: str) -> Iterator[Visitor]:
    """Somebody without JavaScript."""
    guest = Visitor(browser, site, viewport={"width": 1280, "height": 900}, java_script_enabled=False)
    yield guest
    guest.context.close()


def write_down(page: Page, name: str, *, city: str, address: str = "") -> str:
    page.goto("/crm/contacts/new/")
    page.fill("#id_contact_name", name)
    page.fill("#id_city", city)
    page.fill("#id_contact_email", address)
    page.click("main button[type=submit]")
    expect(page.locator("h1")).to_have_text(name)
    return page.url


def copy_to(house: Installation, address: str, subject: str = "") -> Copy:
    """Return the message as it arrived at an address, once it has; with a subject, if the address gets others too."""

    def look() -> Any:
        copies = [copy for posting in list(house.providers.mail.postings) for copy in posting.copies]
        ours = (copy for copy in copies if copy.address == address)
        return next((copy for copy in ours if not subject or copy.letter().subject == subject), None)

    return wait_for(look, 60, f"a message to {address}")  # type: ignore[no-any-return]


def reload_until(page: Page, words: str) -> None:
    for _ in range(120):
        if words in page.locator("main").inner_text():
            return
        page.wait_for_timeout(500)
        page.reload()
    raise AssertionError(f"waited for “{words}”")


def test_from_a_list_to_the_recipient_who_has_enough_of_it(visitor, house, browser, site):
    page = visitor.page
    bella = write_down(page, "Bella Browser", city="Bremen", address="bella+click@shop.example")
    write_down(page, "Bruno Browser", city="Bremen", address="bruno+bounce@shop.example")
    write_down(page, "Boris Browser", city="Bremen", address="boris@shop.example")
    write_down(page, "Britta Browser", city="Bremen")
    write_down(page, "Nobody Else", city="Kiel", address="nobody@shop.example")

    page.goto("/crm/contacts/?city=Bremen")
    page.click(".results-head__links >> text=Write to these")
    page.fill("#id_name", "Bremen fair")
    page.select_option("#id_template", label="Welcome")
    page.click("main button:has-text('Continue')")

    expect(page.locator(".audience")).to_contain_text(re.compile(r"3 will receive,\s+1 will not"))
    page.click("text=no e-mail address")
    expect(page.locator("tbody")).to_contain_text("Britta Browser")
    page.go_back()
    frame = page.frame_locator("iframe.letter__body")
    expect(frame.locator("body")).to_contain_text("Hello Bella Browser")
    page.click("text=Next")
    expect(frame.locator("body")).to_contain_text("Hello Bruno Browser")
    assert not house.providers.mail.postings or all(
        "shop.example" not in copy.address for posting in house.providers.mail.postings for copy in posting.copies
    )

    page.click("main button:has-text('Send to 3')")
    expect(page.locator("main")).to_contain_text("What became of them", timeout=60_000)
    letter = copy_to(house, "boris@shop.example").letter()
    copy_to(house, "bella+click@shop.example")
    reload_until(page, "The address does not exist")
    reload_until(page, "delivered: 2")
    expect(page.locator(".figures")).to_contain_text("bounced: 1")
    page.click("a:has-text('Recipients')")
    expect(page.locator("tbody tr")).to_have_count(4)
    page.click("nav.chips a:has-text('bounced')")
    expect(page.locator("tbody")).to_contain_text("Bruno Browser")

    recipient = browser.new_context(base_url=site).new_page()
    recipient.goto(next(link for link in letter.links if "/mail/" in link))
    recipient.click("main button[type=submit]")
    expect(recipient.locator("main")).to_contain_text("You are unsubscribed")
    recipient.context.close()

    page.goto("/settings/email/suppressions/")
    page.fill("input[name=address]", "boris@shop.example")
    page.click("main button:has-text('Find')")
    expect(page.locator("tbody")).to_contain_text("Unsubscribed")
    page.goto(bella)
    reload_until(page, "Welcome to")
    page.goto("/crm/contacts/?city=Bremen")
    page.click("a:has-text('Boris Browser')")
    page.click("main a:has-text('Write')")
    expect(page.locator("main .empty")).to_be_visible()
    expect(page.locator("textarea")).to_have_count(0)


def test_a_letter_is_written_from_the_contacts_page(visitor, house):
    page = visitor.page
    address = write_down(page, "Lena Letter", city="Lahr", address="lena@letters.example")
    page.click("main a:has-text('Write')")
    page.select_option("select[name=template]", label="Follow-up")
    page.click("text=Use it")
    expect(page.locator("textarea[name=text]")).to_have_value(re.compile("Lena Letter"))
    page.fill("#id_subject", "About your parcel")
    page.fill("#id_text", "Dear Lena,\n\nit has arrived.")
    page.click("main button:has-text('Send'):not(:has-text('like this'))")
    expect(page.locator(".toast")).to_contain_text("On its way to Lena Letter")

    letter = copy_to(house, "lena@letters.example").letter()
    assert (letter.subject, "it has arrived." in letter.text) == ("About your parcel", True)
    page.goto(address)
    reload_until(page, "About your parcel")


def test_ticks_and_times_work_without_scripts(plain):
    page = plain.page
    write_down(page, "Tessa Tick", city="Trier", address="tessa@ticks.example")
    write_down(page, "Tom Tick", city="Trier", address="tom@ticks.example")
    page.goto("/crm/contacts/?city=Trier")
    page.check("tr:has-text('Tessa Tick') input[name=contact]")
    page.click("text=Change several at once")
    page.click(".bulk__fields button:has-text('Write to these')")
    page.fill("#id_name", "To Tessa")
    page.select_option("#id_template", label="Welcome")
    page.click("main button:has-text('Continue')")
    expect(page.locator(".audience")).to_contain_text("1 will receive")
    page.check("input[name=when][value=at]")
    page.fill("#id_send_at", "2099-01-15T09:30")
    page.click("main button:has-text('Send to 1')")
    expect(page.locator("main")).to_contain_text("15 Jan 2099, 09:30")
    page.click("main button:has-text('Pause')")
    expect(page.locator("main")).to_contain_text("Somebody paused it")
    page.click("main button:has-text('Resume')")
    page.click("main button:has-text('Cancel the rest')")
    expect(page.locator("main")).to_contain_text("It was cancelled")


def test_a_template_is_written_beside_its_preview(visitor, house):
    page = visitor.page
    write_down(page, "Petra Preview", city="Pirna", address="petra@previews.example")
    page.goto("/crm/email/templates/new/")
    page.fill("#id_name", "Autumn")
    page.fill("#id_subject", "For ")
    page.press("#id_subject", "End")
    page.click("li:has(code:text-is('{{ contact_name }}')) >> text=Insert")
    expect(page.locator("#id_subject")).to_have_value("For {{ contact_name }}")
    page.fill("#id_html", "<p>Hello {{ contact_nam }}</p>")
    expect(page.locator("#findings-html")).to_contain_text("Is “contact_name” meant?")
    page.fill("#id_html", "<p>Hello {{ contact_name }}, greetings to {{ city or 'you' }}</p>")
    page.fill("#find", "Petra")
    page.click(".preview__found >> text=Petra Preview")
    expect(page.locator(".preview__subject")).to_contain_text("For Petra Preview")
    expect(page.frame_locator(".preview__frame").locator("body")).to_contain_text("greetings to Pirna")

    page.click("text=Send me a test")
    expect(page.locator(".toast")).to_contain_text("Sent to owner@one.localhost")
    assert copy_to(house, "owner@one.localhost", "For Petra Preview")
    page.click("main button:text-is('Save')")
    expect(page.locator("h1")).to_have_text("Autumn")
    page.fill("#id_subject", "Changed")
    page.click("main button:text-is('Save')")
    page.click("text=Earlier versions")
    expect(page.locator("main")).to_contain_text("2")


def test_a_sequence_is_put_together_and_switched_on(visitor):
    page = visitor.page
    page.goto("/crm/email/sequences/new/")
    page.fill("#id_name", "After a visit")
    page.select_option("select[name$='-template']", label="Welcome")
    page.click("#add-step")
    expect(page.locator("fieldset.step")).to_have_count(2)
    second = page.locator("fieldset.step").nth(1)
    second.locator("select[name$='-template']").select_option(label="Follow-up")
    second.locator("select[name$='-condition']").select_option(value="not-replied")
    second.locator("button:has-text('Up')").click()
    expect(page.locator("fieldset.step").nth(0).locator("select[name$='-template'] option:checked")).to_have_text(
        "Follow-up"
    )
    page.locator("fieldset.step").nth(1).locator("button:has-text('Up')").click()
    expect(page.locator("fieldset.step").nth(0).locator("select[name$='-template'] option:checked")).to_have_text("Welcome")
    page.click(".form-actions button:has-text('Save')")
    expect(page.locator("h1")).to_have_text("After a visit")
    page.click("text=Switch on")
    expect(page.locator("main .head, header.head")).to_contain_text("Active")


def test_a_domain_shows_its_records_to_copy_and_is_checked(visitor, browser, site):
    visitor.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = visitor.page
    page.goto("/settings/email/domains/new/")
    page.fill("input[name=domain]", "browsers-mail.com")
    page.click("main button[type=submit]:has-text('Add')")
    expect(page.locator("table.dns tbody tr")).to_have_count(3, timeout=60_000)
    page.locator("[data-copy]").first.click()
    expect(page.locator("[data-copy]").first).to_have_text("Copied")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied and copied == page.locator(".copy__text").first.input_value()


def test_pages_fit_and_break_no_policy(visitor):
    page = visitor.page
    address = write_down(page, "Fitting", city="Fulda", address="fit@fits.example")
    page.goto(f"{address}")
    compose = page.get_attribute("main a:has-text('Write')", "href")
    page.goto("/crm/email/new/?query=city%3DFulda")
    page.fill("#id_name", "A mailing with a name that is rather longer than one would like it to be")
    page.select_option("#id_template", label="Welcome")
    page.click("main button:has-text('Continue')")
    draft = page.url
    visitor.see(f"{draft}audience/")
    page.goto(draft)
    page.click("main button:has-text('Send to')")
    expect(page.locator("main")).to_contain_text("What became of them", timeout=60_000)
    for path in [*PAGES, draft, f"{draft}messages/", f"{compose}?template=1"]:
        visitor.see(path)
