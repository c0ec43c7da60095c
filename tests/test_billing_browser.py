"""Costs, budgets, plans and paying: in a real browser, from the trial to paid, with and without scripts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.installation import Installation
from tests.visitor import Visitor

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.xdist_group("pages")]

PAGES = [
    "/billing/",
    "/billing/entries/",
    "/billing/budget/",
    "/billing/plan/",
    "/settings/payments/",
    "/crm/contacts/1/payments/",
]


@pytest.fixture(scope="module")
def plans(house: Installation, site: str) -> None:
    """Plans whose prices are at the stand-in for Stripe, made as staff make them, and what the carrier charges."""
    done = house.manage("set_rate", "twilio", "voice-inbound", "minute", "0.01", "--from", "2020-01-01T00:00:00+00:00")
    assert done.returncode == 0, done.stderr
    for arguments in (
        ("Shop", "29.00", "--trial-days", "14", "--meter", "twilio:voice-inbound:minute:call_minutes:200:0.15"),
        ("House", "99.00"),
    ):
        done = house.manage("add_plan", *arguments)
        assert done.returncode == 0, done.stderr


@pytest.fixture
def visitor(browser: Browser, site: str, plans: None) -> Iterator[Visitor]:
    guest = Visitor(browser, site, viewport={"width": 1280, "height": 900})
    yield guest
    guest.context.close()
    assert guest.faults == []


@pytest.fixture
def plain(browser: Browser, site: str, plans: None) -> Iterator[Visitor]:
    """Somebody without JavaScript."""
    guest = Visitor(browser, site, viewport={"width": 1280, "height": 900}, java_script_enabled=False)
    yield guest
    guest.context.close()


def test_what_a_call_cost_is_on_its_page_and_in_the_month(visitor):
    page = visitor.page
    page.goto("/billing/")
    expect(page.locator("main")).to_contain_text("Day by day")
    expect(page.locator("main")).to_contain_text("twilio voice-inbound")
    page.click(".bars >> text=Carrier")
    expect(page.locator("h1")).to_have_text("Ledger")
    page.click("main table >> text=Call >> nth=0")
    expect(page.locator(".cost")).to_contain_text("Cost")
    expect(page.locator(".cost")).to_contain_text("$0.01")


def test_a_budget_is_set_reached_and_lifted(visitor):
    page = visitor.page
    page.goto("/billing/budget/")
    expect(page.locator("main")).to_contain_text("Nothing is limited")
    page.fill("#id_monthly", "0.01")
    page.click("main button:text-is('Save')")
    expect(page.locator(".notice--bad")).to_contain_text("The budget is used up")
    expect(page.locator(".meter")).to_contain_text("of $0.01")
    page.fill("#id_monthly", "")
    page.click("main button:text-is('Save')")
    expect(page.locator("main")).to_contain_text("Nothing is limited")


def test_from_the_trial_to_paid_late_and_cancelled(visitor, house):
    page = visitor.page
    page.goto("/billing/plan/")
    page.click("text=Start with Shop")
    page.click("text=Pay with a card that is declined")
    expect(page.locator("[role=alert]")).to_contain_text("declined")
    page.click("text=Start the trial")
    expect(page.locator("main")).to_contain_text("Trial until")
    expect(page.locator(".plan--current")).to_contain_text("Shop")

    page.click("text=Payment and cancellation")
    page.click("text=Let the trial end")
    page.click("text=Let the next payment fail")
    page.click("text=Let the period end")
    page.click("text=Back to")
    page.click("text=Look again")
    expect(page.locator(".notice--warn")).to_contain_text("A payment has failed")
    expect(page.locator("main table")).to_contain_text("Open")

    page.click("text=Payment and cancellation")
    page.click("text=Enter a new card")
    page.click("text=Back to")
    page.click("text=Look again")
    expect(page.locator(".card .badge").first).to_contain_text("Active")
    page.click("text=Change to House")
    expect(page.locator(".plan--current")).to_contain_text("House")

    page.click("text=Payment and cancellation")
    page.click("text=Cancel at the end of the period")
    page.click("text=Let the period end")
    page.click("text=Back to")
    page.click("text=Look again")
    expect(page.locator(".notice--bad")).to_contain_text("Calls are not answered")
    page.click("text=Subscribe to Shop")
    page.click("text=Pay and subscribe")
    expect(page.locator(".card .badge").first).to_contain_text("Active")


def test_everything_works_without_scripts(plain):
    page = plain.page
    page.goto("/billing/budget/")
    page.fill("#id_daily", "500")
    page.click("main button:text-is('Save')")
    expect(page.locator(".meter")).to_contain_text("of $500.00")
    page.fill("#id_daily", "")
    page.click("main button:text-is('Save')")
    page.goto("/billing/")
    expect(page.locator("main .chart")).to_be_visible()


def test_pages_fit_and_break_no_policy(visitor):
    for path in PAGES:
        visitor.see(path)
