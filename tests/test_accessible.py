"""Pages are clean by axe-core's rules, wide in the light and narrow in the dark, and usable by keyboard."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import axe_playwright_python
import pytest
from playwright.sync_api import Browser, Page

from tests.visitor import LOOKS, Visitor

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.xdist_group("pages")]

AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text()
PAGES = [
    "/",
    "/calls/",
    "/calls/test/",
    "/calls/texts/",
    "/calls/texts/new/",
    "/calls/texts/settings/",
    "/crm/",
    "/crm/activity/",
    "/crm/contacts/",
    "/crm/contacts/new/",
    "/crm/contacts/duplicates/",
    "/crm/board/",
    "/crm/tasks/",
    "/crm/tasks/new/",
    "/crm/imports/",
    "/crm/email/",
    "/crm/email/templates/",
    "/crm/email/templates/new/",
    "/crm/email/sequences/",
    "/settings/email/",
    "/settings/email/domains/",
    "/settings/email/suppressions/",
    "/agents/",
    "/agents/new/",
    "/agents/chat/",
    "/agents/knowledge/",
    "/agents/tools/",
    "/agents/trials/",
    "/agents/settings/",
    "/billing/",
    "/billing/entries/",
    "/billing/budget/",
    "/billing/plan/",
    "/settings/lines/",
    "/settings/people/",
    "/settings/organisation/",
    "/settings/contacts/",
    "/settings/contacts/fields/new/",
    "/settings/tokens/",
    "/settings/webhooks/",
    "/settings/payments/",
    "/settings/audit/",
    "/organisations/",
    "/accounts/email/",
    "/accounts/2fa/",
]


@pytest.fixture(scope="module")
def owner(browser: Browser, site: str) -> Iterator[Visitor]:
    guest = Visitor(browser, site)
    # The content security policy forbids scripts of strangers, the tool's included.
    guest.context.add_init_script(AXE)
    yield guest
    guest.context.close()


def violations(page: Page) -> list[str]:
    """Return what axe-core finds, one line for each rule and element."""
    found: list[dict[str, Any]] = page.evaluate("axe.run({preload: false}).then((result) => result.violations)")
    return [f"{one['id']}: {node['html'][:160]}" for one in found for node in one["nodes"]]


def check(page: Page, path: str) -> list[str]:
    """Open a page in each look and return what is wrong with it there."""
    faults = []
    for scheme, width in LOOKS:
        page.set_viewport_size({"width": width, "height": 800})
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        answer = page.goto(path)  # anew: colors change slowly on a page that is open
        assert answer is not None and answer.status == 200, path
        faults += [f"{path} {width}: {fault}" for fault in violations(page)]
    return faults


def test_no_page_breaks_a_rule(owner: Visitor) -> None:
    faults = []
    for path in PAGES:
        faults += check(owner.page, path)

    assert faults == [], "\n".join(faults)


def test_the_pages_of_one_thing_break_no_rule(owner: Visitor) -> None:
    faults = []
    for path, row in (
        ("/calls/", ".row-link"),
        ("/settings/lines/", ".row-link"),
        ("/crm/contacts/", "td a"),
        ("/agents/", "main a.card, main .card a"),
    ):
        owner.page.goto(path)
        owner.page.locator(row).first.click()
        owner.page.wait_for_load_state()
        faults += check(owner.page, owner.page.url)

    assert faults == [], "\n".join(faults)


def test_a_phone_has_every_page_behind_more_and_can_close_it_by_keyboard(owner: Visitor) -> None:
    owner.page.set_viewport_size({"width": 380, "height": 800})
    owner.page.goto("/settings/organisation/")
    more = owner.page.locator("[data-menu]")
    rest = owner.page.locator("#more")
    assert not rest.is_visible()

    more.click()

    assert rest.get_by_role("link", name="Organisation").is_visible()
    assert more.get_attribute("aria-expanded") == "true"
    owner.page.keyboard.press("Escape")
    assert not rest.is_visible()
    shown = owner.page.locator(".nav a:visible")
    assert all(link.inner_text().strip() for link in shown.all())
    assert owner.page.evaluate("document.documentElement.scrollWidth") <= 380


def test_what_is_focused_is_never_behind_the_bar_of_a_form(owner: Visitor) -> None:
    owner.page.set_viewport_size({"width": 1280, "height": 800})
    owner.page.goto("/settings/lines/1/")
    hidden = []
    for _ in range(70):
        owner.page.keyboard.press("Tab")
        hidden += owner.page.evaluate(
            """() => {
              const field = document.activeElement.getBoundingClientRect();
              const bar = document.querySelector(".form-actions");
              if (!bar || bar.contains(document.activeElement)) return [];
              const edge = bar.getBoundingClientRect();
              const isBeside = field.right <= edge.left || field.left >= edge.right;
              const isHidden = !isBeside && field.top >= edge.top - 1 && field.top < edge.bottom;
              return isHidden ? [document.activeElement.outerHTML.slice(0, 90)] : [];
            }"""
        )

    assert hidden == [], "\n".join(hidden)


def test_leaving_a_changed_form_is_asked_about(owner: Visitor) -> None:
    asked = []
    owner.page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.accept()))
    owner.page.goto("/settings/lines/1/")
    owner.page.goto("/")
    assert asked == []

    owner.page.goto("/settings/lines/1/")
    owner.page.locator("main form input[type=text]").first.press_sequentially("x")
    owner.page.goto("/")

    assert asked == ["beforeunload"]
