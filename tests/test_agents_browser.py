"""Agents, from the catalogue to a conversation that is streamed: in a real browser, with and without scripts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from sandbox.deepgram.brain import Thought
from sandbox.models.account import Fault, Kind
from tests.visitor import Visitor

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.xdist_group("pages")]

PAGES = [
    "/agents/",
    "/agents/new/",
    "/agents/receptionist/",
    "/agents/chat/",
    "/agents/knowledge/",
    "/agents/knowledge/new/file/",
    "/agents/knowledge/new/questions/",
    "/agents/knowledge/try/?q=when+are+you+open",
    "/agents/tools/",
    "/agents/tools/http/new/",
    "/agents/tools/mcp/new/",
    "/agents/trials/",
    "/agents/trials/new/",
    "/agents/settings/",
    "/settings/lines/1/prompt/",
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


def test_an_agent_is_made_ours_changed_published_and_rolled_back(visitor):
    page = visitor.page
    page.goto("/agents/")
    page.click("text=Scheduling")
    page.click("text=Customize")
    page.click("main a:has-text('Change')")
    page.fill("#id_prompt", "You arrange appointments. Mention {spring_offer}.")
    page.fill("#id_note", "The spring offer")
    page.click("text=Save as a draft")
    expect(page.locator("main")).to_contain_text("Not in use yet")
    expect(page.locator("main")).to_contain_text("{spring_offer}")
    page.click("text=What changes")
    expect(page.locator(".diff__line--new").first).to_contain_text("spring_offer")
    page.go_back()
    page.fill("#id_percent", "25")
    page.click("main button:text-is('Set')")
    expect(page.locator("header.head")).to_contain_text("Draft on 25 %")
    page.click("main button:text-is('Publish')")
    expect(page.locator("main .code--prose")).to_have_text("You arrange appointments. Mention.")
    expect(page.locator("main")).to_contain_text("{spring_offer}")  # has no value yet: said, and not spoken
    page.click("main >> text=Version 1")
    page.click("text=Use it again")
    expect(page.locator("main .code--prose")).not_to_contain_text("Mention.")
    expect(page.locator("main")).to_contain_text("Version 1 again")


def test_a_document_is_read_while_one_watches_and_found(visitor):
    page = visitor.page
    page.goto("/agents/knowledge/new/questions/")
    page.fill("#id_title", "Questions of every day")
    page.fill("#q1", "Do you wash dogs?")
    page.fill("#a1", "Yes, on Tuesdays, for thirty euros.")
    page.click("text=One more")
    expect(page.locator("fieldset.pair")).to_have_count(4)
    page.click("main form button[type=submit]")
    expect(page.locator(".badge--good")).to_contain_text("Ready", timeout=60_000)
    expect(page.locator(".passage")).to_contain_text("Yes, on Tuesdays")
    page.goto("/agents/knowledge/new/file/")
    page.set_input_files("#id_file", files=[{"name": "broken.pdf", "mimeType": "application/pdf", "buffer": b"%PDF-1 no"}])
    page.click("main form button[type=submit]")
    expect(page.locator(".form-error")).to_contain_text("damaged", timeout=60_000)
    page.goto("/agents/knowledge/try/")
    page.fill("#id_q", "Can you wash my dog?")
    page.click("text=Look it up")
    expect(page.locator("main")).to_contain_text("What the agent would see")
    expect(page.locator("main")).to_contain_text("Yes, on Tuesdays")


def test_an_answer_is_streamed_stopped_and_tried_again(visitor, house):
    page = visitor.page
    models = house.providers.models
    models.script.append(Thought("We wash dogs on **Tuesdays**."))
    page.goto("/agents/chat/")
    page.fill("#id_text", "When do you wash dogs?")
    page.select_option("#id_agent", "receptionist")
    page.click("main form.stack button[type=submit]")
    expect(page.locator(".said--user strong")).to_have_text("Tuesdays", timeout=60_000)
    expect(page.locator(".said--user .said__who")).to_contain_text("Receptionist")

    models.faults.append(Fault(Kind.SLOW, after_s=0.4))
    models.script.append(Thought(" ".join(f"word{number}" for number in range(60))))
    page.fill("#id_text", "Say a lot.")
    page.press("#id_text", "Enter")
    expect(page.locator("[data-text]")).to_contain_text("word2", timeout=60_000)
    page.click("text=Stop")
    expect(page.locator("main")).to_contain_text("Stopped.", timeout=60_000)
    expect(page.locator("main")).not_to_contain_text("word59")

    models.faults.clear()
    models.script.append(Thought("Little."))
    page.click("text=Try again")
    expect(page.locator(".said--user").last).to_contain_text("Little.", timeout=60_000)
    page.click("main a:has-text('New')")
    expect(page.locator(".chat__list")).to_contain_text("When do you wash dogs?")


def test_a_conversation_without_scripts(plain, house):
    page = plain.page
    house.providers.models.script.append(Thought("Good day."))
    page.goto("/agents/chat/")
    page.fill("#id_text", "Hello there")
    page.select_option("#id_agent", "receptionist")
    page.click("main form.stack button[type=submit]")
    expect(page.locator("main")).to_contain_text("Good day.", timeout=60_000)  # the page comes again by itself
    page.select_option("#id_agent", "")
    page.click("text=Choose")
    expect(page.locator("h1")).to_have_text("Hello there")


def test_a_scenario_is_tried_with_two_versions(visitor):
    page = visitor.page
    page.goto("/agents/trials/new/")
    text = "name: Goodbyes\nprompt: You help.\ntools: [end_call]\ncaller: {says: [Goodbye]}\nexpect: [{tool: end_call}]\n"
    page.fill("#id_text", text)
    page.click("text=Save")
    page.fill("#id_repeat", "2")
    page.click("main button:text-is('Run')")
    expect(page.locator("#batches .badge--good")).to_contain_text("2 of 2", timeout=60_000)
    page.click("#batches a >> nth=0")
    expect(page.locator(".transcript")).to_contain_text("Goodbye")


def test_pages_fit_and_break_no_policy(visitor):
    for path in PAGES:
        visitor.see(path)
