"""Contacts, as people work with them: in a real browser, with and without scripts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from sandbox.caller import Line
from tests.installation import Installation
from tests.visitor import DOMAIN, Visitor

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.xdist_group("pages")]

PAGES = [
    "/crm/",
    "/crm/contacts/",
    "/crm/contacts/?layout=cards",
    "/crm/contacts/new/",
    "/crm/contacts/bin/",
    "/crm/board/",
    "/crm/tasks/",
    "/crm/activity/",
    "/crm/views/",
    "/crm/imports/",
    "/settings/contacts/",
    "/settings/contacts/fields/new/",
    "/settings/contacts/rules/new/",
    "/settings/webhooks/",
    "/settings/webhooks/new/",
    "/settings/tokens/",
    "/settings/tokens/new/",
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


def write_down(page: Page, name: str, **values: str) -> None:
    page.goto("/crm/contacts/new/")
    page.fill("#id_contact_name", name)
    for field, value in values.items():
        page.fill(f"#id_{field}", value)
    page.click("main button[type=submit]")
    expect(page.locator("h1")).to_have_text(name)


def upload(page: Page, name: str, text: str) -> None:
    page.goto("/crm/imports/new/")
    page.set_input_files("input[type=file]", {"name": name, "mimeType": "text/csv", "buffer": text.encode()})
    page.click("main button[type=submit]")


def test_pages_fit_and_break_no_policy(visitor):
    write_down(visitor.page, "Wide", business_name="A business with quite a long name indeed", city="Ulm")
    address = visitor.page.url
    for path in [*PAGES, address, f"{address}edit/"]:
        visitor.see(path)


def test_a_contact_is_written_down_found_changed_and_deleted(visitor):
    page = visitor.page
    write_down(page, "Greta Garten", phones="mobile: +1 555 301 0001", city="Ulm", tags="vip, spring")

    page.goto("/crm/contacts/new/")
    page.locator("#id_phones").press_sequentially("+15553010001")
    expect(page.locator("#duplicates")).to_contain_text("Greta Garten")

    page.goto("/crm/contacts/")
    page.keyboard.press("/")
    page.keyboard.type("gret gart")
    expect(page.locator("#rows")).to_contain_text("Greta Garten")
    page.wait_for_url(lambda url: url.endswith("/crm/contacts/?q=gret+gart"))
    page.click("text=Greta Garten")
    page.click("text=Edit")
    page.fill("#id_city", "Trier")
    page.click("main button[type=submit]")
    expect(page.locator("main")).to_contain_text("Trier")

    page.fill("#id_subject", "Wants tulips")
    page.click("main button:has-text('Add')")
    expect(page.locator("#timeline")).to_contain_text("Wants tulips")

    page.click("main button:has-text('Delete')")
    page.click(".toast button:has-text('Undo')")
    expect(page.locator("h1")).to_have_text("Greta Garten")


def test_a_card_is_dragged_and_moved_by_keyboard(visitor):
    page = visitor.page
    write_down(page, "Dora Drag")
    page.goto("/crm/board/?q=dora")
    card = page.locator(".board__card:has-text('Dora Drag')")
    with page.expect_response("**/status/"):
        card.drag_to(page.locator("[data-status=qualified]"), source_position={"x": 180, "y": 14})
    expect(page.locator("[data-status=qualified] .board__card")).to_contain_text("Dora Drag")
    page.reload()
    expect(page.locator("[data-status=qualified] .board__card")).to_contain_text("Dora Drag")

    with page.expect_response("**/status/"):
        card.locator("select").focus()
        page.keyboard.press("ArrowDown")  # the next status of the list: customer
    page.reload()
    expect(page.locator("[data-status=qualified] .board__card")).to_have_count(0)
    expect(page.locator("[data-status=customer] .board__card")).to_contain_text("Dora Drag")


def test_many_are_changed_at_once_watched_and_undone(visitor):
    page = visitor.page
    for name in ("Bulk One", "Bulk Two"):
        write_down(page, name)
    page.goto("/crm/contacts/?q=bulk")
    page.check("[data-check-all]")
    page.select_option("select[name=action]", "add-tags")
    page.fill("input[name=tags]", "chosen")
    page.click("text=Apply")
    expect(page.locator("#job")).to_contain_text("2 of 2 contacts", timeout=60_000)
    page.goto("/crm/contacts/?tag=chosen")
    expect(page.locator(".results-head")).to_contain_text("2 contacts")
    page.go_back()
    page.click("text=Undo")
    expect(page.locator("#job")).to_contain_text("Undone", timeout=60_000)
    page.goto("/crm/contacts/?tag=chosen")
    expect(page.locator("main")).to_contain_text("No contact fits")


def test_a_file_is_imported_exported_and_taken_back(visitor, tmp_path: Path):
    page = visitor.page
    upload(
        page, "people.csv", "Full name;E-mial;Town\nIda Import;ida@example.com;Köln\nIvo Import;ivo@example.com;Bonn\n;;\n"
    )
    expect(page.locator("main")).to_contain_text("Did you mean E-mail?")
    question = page.locator("tr:has-text('E-mial') select")
    question.select_option(label="E-mail")
    page.click("main button:has-text('Validate')")
    expect(page.locator("main")).to_contain_text("Ida Import", timeout=60_000)
    page.click("main button:has-text('Start the import')")
    expect(page.get_by_role("link", name="The new contacts")).to_be_visible(timeout=60_000)
    page.click("text=The new contacts")
    expect(page.locator(".results-head")).to_contain_text("2 contacts")

    with page.expect_download() as download:
        page.click("text=CSV")
    text = Path(download.value.path()).read_text("utf-8-sig")
    assert "Ida Import" in text and "ivo@example.com" in text and "Köln" in text
    page.go_back()
    page.on("dialog", lambda dialog: dialog.accept())
    page.click("text=Undo the import")
    expect(page.locator("main")).to_contain_text("Undone", timeout=60_000)
    page.goto("/crm/contacts/?q=ida+import")
    expect(page.locator("main")).to_contain_text("No contact fits")


def test_two_are_merged_and_parted(visitor):
    page = visitor.page
    write_down(page, "Mia Merge", city="Ulm")
    write_down(page, "Mia Merged", city="Bonn")
    page.goto("/crm/contacts/?q=mia+merge&sort=name")
    page.check("[data-check-all]")
    page.select_option("select[name=action]", "merge")
    page.click("text=Apply")
    page.check("input[name=take_city][value=merged]")
    page.click("main button:has-text('Merge')")
    expect(page.locator("main")).to_contain_text("Bonn")
    page.click("main button:has-text('Part from')")
    page.goto("/crm/contacts/?q=mia+merge")
    expect(page.locator(".results-head")).to_contain_text("2 contacts")


def test_everything_works_without_scripts(plain):
    page = plain.page
    write_down(page, "Nora Noscript", city="Ulm")
    page.goto("/crm/contacts/")
    page.fill("#id_q", "nora")
    page.click("main button:has-text('Search')")
    expect(page.locator("#rows")).to_contain_text("Nora Noscript")
    page.check("input[name=contact]")
    page.click("text=Change several at once")
    page.select_option("select[name=action]", "set-status")
    page.select_option(".bulk select[name=status]", "customer")
    page.click("text=Apply")
    for _ in range(40):
        page.wait_for_timeout(250)
        page.reload()
        if "Done" in page.content():
            break
    page.goto("/crm/board/?q=nora")
    expect(page.locator("[data-status=customer]")).to_contain_text("Nora Noscript")
    page.locator(".board__card select").select_option("prospect")
    page.click("text=Move")
    expect(page.locator("[data-status=prospect]")).to_contain_text("Nora Noscript")

    upload(page, "more.csv", "Name,City\nNils Noscript,Ulm\n")
    page.click("main button:has-text('Validate')")
    page.wait_for_selector("main button:has-text('Start the import')", timeout=60_000)
    page.click("main button:has-text('Start the import')")
    page.wait_for_selector("text=The new contacts", timeout=60_000)


def test_a_field_of_ones_own_is_in_forms_and_filters_at_once(visitor):
    page = visitor.page
    page.goto("/settings/contacts/fields/new/")
    page.fill("#id_label", "Shoe size")
    page.select_option("#id_type", "select")
    page.fill("#id_options", "S\nM")
    page.click("main button[type=submit]")
    page.goto("/crm/contacts/new/")
    page.fill("#id_contact_name", "Sid Shoe")
    page.select_option("#id_cf_shoe_size", "M")
    page.click("main button[type=submit]")
    expect(page.locator("main")).to_contain_text("Shoe size")
    page.goto("/crm/contacts/")
    page.click("summary:has-text('Filters')")
    page.select_option("#id_cf_shoe_size", "M")
    expect(page.locator(".results-head")).to_contain_text("1 contact")
    page.wait_for_url(lambda url: url.endswith("/crm/contacts/?cf_shoe_size=M"))


def test_a_call_becomes_a_contact_with_a_wish(visitor, house: Installation):
    call = house.finish(
        house.ring(
            Line("Hello, my name is Will Wish."),
            Line("Please stop calling me."),
            Line("Thank you, goodbye."),
            to="+15550300",
            caller_number="+15557778888",
        )
    )
    stored = house.settled(call, DOMAIN)
    said = [message["text"] for message in stored["messages"] if message["role"] == "assistant"]
    assert any("do not want to be contacted" in text for text in said)

    page = visitor.page
    page.goto(f"/calls/{stored['id']}/")
    expect(page.locator("#events")).to_contain_text("set_do_not_contact")
    for _ in range(40):
        page.reload()
        if "Will Wish" in page.content():
            break
        page.wait_for_timeout(250)
    page.click("dd >> text=Will Wish")
    expect(page.locator("main")).to_contain_text("Does not want to be contacted")
    expect(page.locator("#timeline")).to_contain_text("Phone call")
