"""Trials of agents: scenarios as they are written, carried out against stand-in models, on pages and by the command."""

from __future__ import annotations

import io
import time
from datetime import timedelta
from pathlib import Path

import pytest
from asgiref.sync import async_to_sync
from django.core.management import CommandError, call_command
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from agents.models import Agent
from agents.services import owned, versions
from agents.trials.models import Scenario, Trial
from agents.trials.running import carry_out
from agents.trials.scenario import Run, ScenarioError, Use, check, from_transcript, parse
from agents.trials.services import scenarios
from crm.models import Contact
from sandbox.deepgram.brain import Thought
from sandbox.models.account import Fault, Kind
from telephony.tests.factories import add_message, make_finished_call
from tenants.context import entered
from thanos.env import BASE_DIR

OURS = sorted((BASE_DIR / "scenarios").glob("*.yaml"))
SIMPLE = "name: N\nprompt: You help.\ncaller: {says: [Hello]}\nexpect: [{says: hello}]\n"


def carry(tenant, text, version_id=None):
    plan = parse(text)
    with entered(tenant):
        brief, instructions, tools, context = scenarios.prepare(tenant, plan, version_id)
    return async_to_sync(carry_out)(plan, brief=brief, instructions=instructions, tools=tools, context=context)


def finish(tenant, batch):
    """Do what the workers do."""
    for trial in Trial.objects.filter(batch=batch):
        async_to_sync(scenarios.run)(scenarios.claim(str(trial.pk)), tenant)


# --- scenarios of ours -----------------------------------------------------------------------------------------------


def test_there_are_twelve():
    assert len(OURS) >= 12


@pytest.mark.usefixtures("one_connection")
@pytest.mark.parametrize("path", OURS, ids=lambda path: path.stem)
def test_ours_pass(path: Path, in_alice, models):
    result = carry(in_alice, path.read_text())
    assert result.problem == ""
    assert [f"{one.text}: {one.why}" for one in result.checks if not one.passed] == []
    assert result.passed
    assert not Contact.objects.exists()  # nothing outside of the conversation was touched


# --- reading and checking --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("name: [", "not YAML, line"),
        ("name: N", "caller, expect is missing"),
        (SIMPLE + "mood: good", "mood"),
        (SIMPLE.replace("prompt: You help.", "prompt: x\nagent: y"), "exactly one of agent, prompt"),
        (SIMPLE.replace("says: hello", "says: hello, maybe: 1"), "expect.0"),
        (SIMPLE.replace("{says: hello}", "{matches: '('}"), "matches: The pattern “\\(” cannot be used"),
        (SIMPLE.replace("{says: hello}", "{with: {a: 1}}"), "tool is missing"),
        (SIMPLE.replace("says: [Hello]", "says: []"), "caller"),
        ("x" * 50_001, "longer than 50000"),
        ("- a\n- b", "of type object"),
    ],
)
def test_a_faulty_scenario_says_what_is_wrong(text, why):
    with pytest.raises(ScenarioError, match=why):
        parse(text)


RUN = Run(
    said=["a", "b"],
    answers=["We open at NINE.", "Goodbye."],
    used=[Use("create_task", {"subject": "Call Ann back", "count": 2})],
    ended="hang-up",
    seconds=3.0,
)


@pytest.mark.parametrize(
    ("wanted", "passes"),
    [
        ("says: nine", True),
        ("says: ten", False),
        ("says: nine, in_turn: 1", True),
        ("says: nine, in_turn: 2", False),
        ("says: nine, in_turn: 3", False),
        ("says_not: ten", True),
        ("says_not: nine", False),
        ("matches: 'at \\w+'", True),
        ("matches: '^at'", False),
        ("tool: create_task", True),
        ("tool: create_task, with: {subject: ann}", True),
        ("tool: create_task, with: {subject: bob}", False),
        ("tool: create_task, with: {count: 2}", True),
        ("tool: create_task, with: {count: 3}", False),
        ("tool: create_task, with: {other: x}", False),
        ("tool: end_call", False),
        ("no_tool: end_call", True),
        ("no_tool: create_task", False),
        ("ends: hang-up", True),
        ("ends: transfer", False),
        ("turns_at_most: 2", True),
        ("turns_at_most: 1", False),
        ("seconds_at_most: 3", True),
        ("seconds_at_most: 2.9", False),
        ("says: nine, tool: end_call", False),
    ],
)
def test_what_is_expected(wanted, passes):
    plan = parse(SIMPLE.replace("{says: hello}", f"{{{wanted}}}"))
    (checked,) = check(plan, RUN)
    assert checked.passed is passes
    assert bool(checked.why) is not passes


def test_a_call_becomes_a_scenario_that_can_be_read_again():
    text = from_transcript(
        "Call", "receptionist", "", [("user", "Hällo: you?"), ("assistant", "Hi")], ["end_call", "end_call"]
    )
    plan = parse(text)
    assert (plan.says, plan.agent) == (("Hällo: you?",), "receptionist")
    assert plan.checks == ({"tool": "end_call"}, {"turns_at_most": 2})


# --- carrying out ----------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("one_connection")
def test_a_model_that_fails_is_a_problem_and_no_pass(in_alice, models):
    models.faults.append(Fault(Kind.STATUS, times=9, status=401))
    result = carry(in_alice, SIMPLE)
    assert (result.passed, result.problem) == (False, "refused-key")


@pytest.mark.usefixtures("one_connection")
def test_a_caller_played_by_a_model_ends_when_it_is_done(in_alice, models):
    models.script += [Thought("I need a haircut."), Thought("At nine?"), Thought("Fine. Goodbye. DONE"), Thought("Bye.")]
    text = "name: N\nprompt: You help.\ncaller: {plays: Somebody, turns: 5}\nexpect: [{says: at nine}]\n"
    result = carry(in_alice, text)
    assert result.run.said == ["I need a haircut.", "Fine. Goodbye."]
    assert result.run.answers == ["At nine?", "Bye."]
    assert "You play somebody" in models.asked[0].system
    assert [one.role for one in models.asked[2].said] == ["user", "assistant", "user"]


@pytest.mark.usefixtures("one_connection")
def test_versions_stand_side_by_side_and_repeats_show_what_is_flaky(in_alice, owner, models, visit):
    values = {"name": "Mine", "specialty": "S", "prompt": "You help.", "tools": []}
    agent = owned.create_agent(tenant=in_alice, values=values, by=owner, is_published=True)
    draft = versions.save_draft(agent=agent, values={"prompt": "You help better."}, by=owner)
    text = SIMPLE.replace("prompt: You help.", f"agent: {agent.slug}")
    scenario = scenarios.save_scenario(scenario=None, text=text, by=owner)
    batch = scenarios.start_trials(scenario=scenario, versions=[agent.published, draft], repeat=2)
    models.script += [Thought("Hello"), Thought("Hi"), Thought("Hello"), Thought("Hello")]
    finish(in_alice, batch)
    assert {asked.system for asked in models.asked} == {"You help.", "You help better."}

    page = visit(owner).get(scenario.get_absolute_url()).content.decode()
    assert "1 of 2, now and then" in page or page.count("of 2") >= 2
    assert "nobody said it" in page
    trial = Trial.objects.filter(passed=False).first()
    detail = visit(owner).get(f"{scenario.get_absolute_url()}{trial.pk}/").content.decode()
    assert "Hi" in detail


def test_a_trial_runs_once_and_one_whose_worker_died_again(in_alice, owner, monkeypatch):
    scenario = scenarios.save_scenario(scenario=None, text=SIMPLE, by=owner)
    batch = scenarios.start_trials(scenario=scenario, versions=[None], repeat=1)
    trial = Trial.objects.get(batch=batch)
    assert scenarios.claim(str(trial.pk)) is not None
    assert scenarios.claim(str(trial.pk)) is None
    assert not scenarios.run_trial(trial_id=str(trial.pk))
    queued = []
    monkeypatch.setattr(scenarios, "hand_out", queued.append)
    Trial.objects.update(claimed_until=timezone.now() - timedelta(1), created_at=timezone.now() - timedelta(1))
    scenarios.end_abandoned()
    assert queued == [batch]
    assert scenarios.claim(str(trial.pk)) is not None


def test_too_many_and_none(in_alice, owner):
    scenario = scenarios.save_scenario(scenario=None, text=SIMPLE, by=owner)
    for chosen, repeat in (([], 1), ([None], 61)):
        with pytest.raises(ScenarioError, match="at least one"):
            scenarios.start_trials(scenario=scenario, versions=chosen, repeat=repeat)


def test_another_organisations_agent_cannot_be_tried(in_alice, owner, bob, stranger):
    values = {"name": "Bob's", "specialty": "S", "prompt": "Secret."}
    bobs = owned.create_agent(tenant=bob, values=values, by=stranger, is_published=True)
    with pytest.raises(ScenarioError, match="no agent"):
        scenarios.save_scenario(scenario=None, text=SIMPLE.replace("prompt: You help.", f"agent: {bobs.slug}"), by=owner)


def test_of_an_agent_of_the_installation_only_what_is_in_use_is_tried(in_alice, owner):
    agent = Agent.objects.get(slug="receptionist")
    versions.save_draft(agent=agent, values={"prompt": "Staff's draft."}, by=None)
    text = SIMPLE.replace("prompt: You help.", "agent: receptionist")
    scenario = scenarios.save_scenario(scenario=None, text=text, by=owner)
    assert scenarios.versions_of(in_alice, scenario) == [agent.published]


# --- pages and the command -------------------------------------------------------------------------------------------


def test_a_scenario_is_written_changed_and_deleted(visit, owner, alice):
    client = visit(owner)
    assert "Try an agent before callers do" in client.get("/agents/trials/").content.decode()
    bad = client.post("/agents/trials/new/", {"text": "name: ["})
    assert bad.status_code == 422
    assert "not YAML" in bad.content.decode()
    made = client.post("/agents/trials/new/", {"text": SIMPLE})
    assert "its own prompt" not in client.get(made.url).content.decode()
    client.post(made.url, {"repeat": "2"})
    assert "waiting" in client.get(made.url).content.decode()
    assert "hx-trigger" in client.get(made.url, headers={"hx-request": "true"}).content.decode()
    client.post(f"{made.url}edit/", {"text": SIMPLE.replace("name: N", "name: Other")})
    assert "Other" in client.get("/agents/trials/").content.decode()
    client.post(f"{made.url}delete/")
    with entered(alice):
        assert not Scenario.objects.exists()


def test_another_organisations_scenarios_are_not_there(visit, stranger, in_alice, owner, member):
    scenario = scenarios.save_scenario(scenario=None, text=SIMPLE, by=owner)
    batch = scenarios.start_trials(scenario=scenario, versions=[None], repeat=1)
    trial = Trial.objects.get(batch=batch)
    client = visit(stranger, host="bob.test")
    for path in (f"{scenario.pk}/", f"{scenario.pk}/edit/", f"{scenario.pk}/{trial.pk}/"):
        assert client.get(f"/agents/trials/{path}").status_code == 404
    assert visit(member).get("/agents/trials/").status_code == 403


def test_a_finished_call_is_made_a_scenario(visit, owner, in_alice, stranger):
    call = make_finished_call()
    add_message(call, 1, "assistant", "Hello.")
    add_message(call, 2, "user", "When are you open?")
    client = visit(owner)
    assert "Turn into a test" in client.get(call.get_absolute_url()).content.decode()
    made = client.post(f"{call.get_absolute_url()}scenario/")
    scenario = Scenario.objects.get()
    assert made.url == f"/agents/trials/{scenario.pk}/edit/"
    assert parse(scenario.text).says == ("When are you open?",)
    empty = make_finished_call()
    page = client.post(f"{empty.get_absolute_url()}scenario/", follow=True).content.decode()
    assert "said nothing" in page
    assert visit(stranger, host="bob.test").post(f"{call.get_absolute_url()}scenario/").status_code == 404


def test_the_command_tells_and_fails_with_what_failed(in_alice, models, tmp_path):
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.yaml"
    good.write_text(SIMPLE)
    bad.write_text(SIMPLE.replace("says: hello", "says: never"))
    out = io.StringIO()
    models.script += [Thought("Hello."), Thought("Hello.")]
    call_command("simulate", str(good), "--tenant", "alice.test", "--repeat", "2", stdout=out)
    assert "ok   N: 2 of 2" in out.getvalue()
    models.script.append(Thought("Hi."))
    with pytest.raises(CommandError, match="1 of the trials failed"):
        call_command("simulate", str(bad), "--tenant", "alice.test", stdout=out)
    assert "nobody said it; the last answer was “Hi.”" in out.getvalue()
    with pytest.raises(CommandError, match="no active organisation"):
        call_command("simulate", str(good), "--tenant", "nobody.test")
    with pytest.raises(CommandError, match="no version 9"):
        call_command("simulate", str(good), "--tenant", "alice.test", "--agent-version", "9")


# --- YAML of strangers -----------------------------------------------------------------------------------------------


def billion(levels: int) -> str:
    lists = [f"  b{n}: &b{n} [{', '.join([f'*b{n - 1}' if n else 'lol'] * 9)}]" for n in range(levels)]
    return "results:\n" + "\n".join(lists) + f"\ncaller: {{says: [*b{levels - 1}]}}\n"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (billion(8), "write it out"),
        ("a: &a [*a]", "write it out"),
        ("[" * 30, "nested too deeply"),
        ("a: !!python/object/apply:os.system [ls]", "not YAML"),
        ("a: 2026-99-99", "not YAML"),
        ("a: !!binary aGk=", "not YAML"),
        ("a: !!set {b, c}", "not YAML"),
        ("? [a]\n: b", "not YAML"),
        (f"a: {'9' * 5000}", "not YAML"),
        ("a: .nan", "not YAML"),
        (f"a: {'secret ' * 5000}", "a is not known"),
    ],
)
def test_no_scenario_is_more_than_what_was_written(text, why):
    began = time.perf_counter()
    with pytest.raises(ScenarioError, match=why) as refused:
        parse(text)
    assert time.perf_counter() - began < 1
    assert len(str(refused.value)) <= 300
    assert "secret secret" not in str(refused.value)


def test_a_scenario_may_hold_days_numbers_and_half_characters():
    plan = parse(SIMPLE + 'results: {t: {day: 2026-11-20, 5: [1.5, null], said: "\\ud83d\\u0007"}}\n')
    assert plan.results == {"t": {"day": "2026-11-20", "5": [1.5, None], "said": "\ufffd"}}


@given(st.text("abx:-[]{}&*!<>|?#'\"% \n\t0.2\\", max_size=60) | st.text(max_size=60))
def test_any_text_is_a_scenario_or_a_scenario_error(text):
    for one in (text, SIMPLE + text, f"name: {text}"):
        try:
            parse(one)
        except ScenarioError as error:
            assert len(str(error)) <= 300


def test_what_is_looked_for_in_answers_takes_linear_time():
    plan = parse(SIMPLE.replace("{says: hello}", "{matches: '^(a+)+$'}"))
    began = time.perf_counter()
    (checked,) = check(plan, Run(answers=["a" * 5000 + "!"]))
    assert (checked.passed, time.perf_counter() - began < 1) == (False, True)
