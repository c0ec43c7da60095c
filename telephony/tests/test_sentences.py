"""What people wrote on a line, and what is spoken of it: nothing in silence."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.organisation.models import AgentSettings
from telephony.enums import EventKind
from telephony.fitting import GAP, fit, fit_prompt, pieces_of
from telephony.models import Line
from telephony.services.answering import line_speech
from telephony.services.plans import plan_call
from telephony.services.sentences import SENTENCES, fill_all, gaps_of
from telephony.tests.factories import make_call
from telephony.transcripts.batch import write_pending
from tenants.context import entered

# --- names in braces -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", SENTENCES)
def test_no_sentence_of_a_line_speaks_a_brace(line, alice, field):
    setattr(line, field, "Hello {{organisation}}, {{ agent_name }} here for {caller_name}.")
    line.save()

    assert fill_all(line, alice)[field] == f"Hello {alice.name}, Robin here for."
    (gap,) = gaps_of(line, alice)
    assert (gap.field, gap.names) == (field, ("caller_name",))


def test_what_is_filled_in_later_is_no_gap(line, alice):
    line.dtmf_note, line.briefing_text = "Pressed {{digits}}.", "A call from {caller}: {reason} Press {{key}}."

    assert gaps_of(line, alice) == []
    assert fill_all(line, alice)["dtmf_note"] == "Pressed {digits}."


def test_the_agent_greets_without_braces(line, alice, bob):
    with entered(bob):
        AgentSettings.objects.update(variables={"caller_name": "Bob's caller"})
    line.greeting = "Hello {{organisation}}, am I speaking with {caller_name}?"
    line.save()

    greeting = plan_call(call=make_call(line), tenant=alice).engine.greeting

    assert greeting.startswith(f"Hello {alice.name}, am I speaking with")
    assert not set("{}") & set(greeting) and "Bob" not in greeting


def test_the_organisations_own_names_stand_in_every_sentence(line, alice):
    AgentSettings.objects.update(variables={"opening": "nine to five"})
    line.closed_text = "We are open {opening}, says {agent_name}."

    assert line_speech(line, alice, line.closed_text).text == "We are open nine to five, says Robin."


def test_a_reason_with_braces_is_no_template(line, alice):
    said = line_speech(line, alice, "{reason} Press {key}.", reason="Wants {organisation}.", key="1")

    assert said.text == "Wants {organisation}. Press 1."


def test_the_lines_pages_name_what_is_missing(line, visit, owner, stranger):
    line.closed_text = "Closed, {who}."
    line.prompt = "You answer. Never {nothing}."
    line.save()

    for path in (line.get_absolute_url(), f"{line.get_absolute_url()}prompt/"):
        page = visit(owner).get(path).content.decode()
        assert "Closed text. Nothing is filled in for" in page and "<code>{who}</code>" in page
        assert "Prompt. Nothing is filled in for" in page and "<code>{nothing}</code>" in page
        assert visit(stranger).get(path).status_code == 404


def test_the_list_shows_the_greeting_as_a_caller_hears_it(line, alice, visit, owner):
    page = visit(owner).get("/settings/lines/").content.decode()

    assert "Robin at Alice" in page and "{agent_name}" not in page


# --- too long for the model ------------------------------------------------------------------------------------------


def test_of_a_long_prompt_the_last_rules_and_the_caller_stay(line, alice):
    from crm.tests.factories import make_contact

    make_contact("Ann Known", phone="+15557001")
    line.prompt = "You are Robin.\n" + "A rule of the house that is long.\n" * 800 + "Last rule: never give discounts."
    line.save()
    call = make_call(line)

    prompt = plan_call(call=call, tenant=alice).engine.prompt

    assert len(prompt) <= 25_000
    assert prompt.startswith("You are Robin.") and GAP in prompt
    assert "Last rule: never give discounts." in prompt and "Name: Ann Known." in prompt
    write_pending()
    (event,) = call.events.filter(kind=EventKind.WARNING)
    assert event.detail["code"] == "PROMPT_TOO_LONG" and event.detail["characters_left_out"] > 1_000


def test_a_short_prompt_is_sent_as_it_is(line, alice):
    call = make_call(line)
    prompt = plan_call(call=call, tenant=alice).engine.prompt

    write_pending()
    assert GAP not in prompt and not call.events.filter(kind=EventKind.WARNING).exists()


def test_the_lines_pages_say_what_is_left_out(line, visit, owner):
    line.prompt = "Begin.\n" + "x" * 12_490 + "\nLEFT-OUT-RULE\n" + "y" * 13_400 + "\nEnd."
    line.save()

    page = visit(owner).get(line.get_absolute_url()).content.decode()

    assert "the model reads 25,000" in page and "LEFT-OUT-RULE" in page
    Line.objects.filter(pk=line.pk).update(prompt="Short.")
    assert "the model reads 25" not in visit(owner).get(line.get_absolute_url()).content.decode()


@given(text=st.text(max_size=400), limit=st.integers(0, 300))
def test_what_fits_and_what_is_left_out_are_the_whole_text(text, limit):
    found = fit(text, limit)

    assert len(found.text) <= limit or found.text == text
    if len(text) > limit > 10 * len(GAP):
        head, _, tail = found.text.partition(GAP)
        assert head + found.left_out + tail == text or GAP in text


@given(prompt=st.text(max_size=500), known=st.text(max_size=200), note=st.text(max_size=50), limit=st.integers(50, 400))
def test_a_prompt_never_exceeds_the_limit(prompt, known, note, limit):
    assert len(fit_prompt(prompt, (known, note), limit).text) <= limit


@given(lines=st.lists(st.text(st.characters(exclude_characters="\n"), max_size=50), min_size=1), size=st.integers(1, 40))
def test_no_line_is_lost_between_pieces(lines, size):
    pieces = pieces_of(lines, size)

    assert all(len(piece) <= size for piece in pieces)
    assert "".join(pieces).replace("\n", "") == "".join(lines)
