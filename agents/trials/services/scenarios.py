"""Scenarios are kept, and carried out in a worker."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from agents.briefs import Brief
from agents.composing import compose
from agents.instructions import values_for
from agents.llm.closing import close_clients
from agents.llm.metering import written_at_the_end
from agents.models import Agent, AgentVersion
from agents.selectors import find_agent
from agents.tools import Tool, ToolContext, all_tools, tools_named
from agents.trials.models import Scenario, Trial, TrialState
from agents.trials.running import Result, carry_out
from agents.trials.scenario import Scenario as Plan
from agents.trials.scenario import ScenarioError, parse
from tenants.celery import publish
from tenants.context import current_tenant
from tenants.models import Tenant, User
from thanos.redis import close_async_client

Prepared = tuple[Brief, str, dict[str, Tool], ToolContext]
CLAIM = timedelta(minutes=10)
MAX_TRIALS = 60  # of one batch


def save_scenario(*, scenario: Scenario | None, text: str, by: User | None) -> Scenario:
    """Raises ScenarioError, also for an agent that the organisation may not use."""
    plan = parse(text)
    _find(current_tenant(), plan)
    scenario = scenario or Scenario(created_by=by)
    scenario.name, scenario.text, scenario.agent_slug = plan.name, text, plan.agent
    scenario.changed_at = timezone.now()
    scenario.save()
    return scenario


def start_trials(*, scenario: Scenario, versions: Sequence[AgentVersion | None], repeat: int) -> uuid.UUID:
    """Queue a scenario's trials with each version; return their batch. Raises ScenarioError."""
    if not versions or len(versions) * repeat > MAX_TRIALS:
        raise ScenarioError(f"Choose at least one version, and no more than {MAX_TRIALS} trials at once.")
    batch = uuid.uuid4()
    Trial.objects.bulk_create(
        Trial(
            batch=batch,
            scenario=scenario,
            version=version,
            version_number=version.number if version is not None else None,
            repeat=number,
        )
        for version in versions
        for number in range(1, repeat + 1)
    )
    transaction.on_commit(lambda: hand_out(batch))
    return batch


def hand_out(batch: uuid.UUID) -> None:
    from agents.trials import tasks

    for pk in Trial.objects.filter(batch=batch, state=TrialState.WAITING).values_list("pk", flat=True):
        publish(tasks.run, trial_id=str(pk))


def run_trial(*, trial_id: str) -> bool:
    """Carry out a trial that waits; return whether it was ours. Safe to repeat, and to run twice."""
    trial = claim(trial_id)
    if trial is None:
        return False
    with written_at_the_end():
        asyncio.run(_run_and_close(trial, current_tenant()))
    return True


def claim(trial_id: str) -> Trial | None:
    waiting = Trial.objects.filter(pk=trial_id, state=TrialState.WAITING)
    if not waiting.update(state=TrialState.RUNNING, claimed_until=timezone.now() + CLAIM):
        return None
    return Trial.objects.select_related("scenario").get(pk=trial_id)


async def run(trial: Trial, tenant: Tenant) -> None:
    from tenants.context import in_tenant

    plan = parse(trial.scenario.text)
    prepared = await in_tenant(tenant, prepare, tenant, plan, trial.version_id)
    brief, instructions, tools, context = prepared
    result = await carry_out(plan, brief=brief, instructions=instructions, tools=tools, context=context)
    await in_tenant(tenant, _store, trial, result)


async def _run_and_close(trial: Trial, tenant: Tenant) -> None:
    try:
        await run(trial, tenant)
    finally:
        await close_clients()
        await close_async_client()


def prepare(tenant: Tenant, plan: Plan, version_id: int | None) -> Prepared:
    """Return who is talked to, by what instructions and with which tools. Raises ScenarioError. In the tenant."""
    agent = _find(tenant, plan)
    version = AgentVersion.objects.select_related("agent").filter(pk=version_id).first() if version_id else None
    if agent is not None and (version is None or version.agent_id != agent.pk):
        version = agent.published or agent.draft
    brief = version.brief() if version is not None else Brief("scenario", plan.name, "", "", plan.prompt)
    values = values_for(tenant, brief, plan.variables)
    offered = brief.allowed(tool.name for tool in all_tools("call")) if plan.tools is None else list(plan.tools)
    context = ToolContext(
        call_id=f"trial:{uuid.uuid4()}", schema=tenant.schema_name, transfer_number="+10", caller_number=""
    )
    return brief, compose([brief.prompt], values).text, tools_named(offered, "call"), context


def versions_of(tenant: Tenant, scenario: Scenario) -> list[AgentVersion]:
    """Return the versions a scenario can be tried with, the newest first; none for one with its own prompt."""
    if not scenario.agent_slug:
        return []
    agent = find_agent(tenant, scenario.agent_slug)
    if agent is None:
        return []
    if agent.owner_id != tenant.pk:  # of another's agents only what is in use is one's business
        return [agent.published] if agent.published else []
    return list(agent.versions.all()[:20])


def end_abandoned() -> None:
    """Queue again what a worker that is gone has left: nothing outside was touched, so nothing is done twice."""
    now = timezone.now()
    gone = Trial.objects.filter(state=TrialState.RUNNING, claimed_until__lt=now)
    gone.update(state=TrialState.WAITING, claimed_until=None)
    lost = Trial.objects.filter(state=TrialState.WAITING, created_at__lt=now - timedelta(seconds=30))
    for batch in set(lost.values_list("batch", flat=True)[:100]):
        hand_out(batch)


def _find(tenant: Tenant, plan: Plan) -> Agent | None:
    if not plan.agent:
        return None
    agent = find_agent(tenant, plan.agent)
    if agent is None:
        raise ScenarioError(f"There is no agent “{plan.agent}” here.")
    return agent


def _store(trial: Trial, result: Result) -> None:
    transcript = transcript_of(result)
    Trial.objects.filter(pk=trial.pk, state=TrialState.RUNNING).update(
        state=TrialState.DONE,
        passed=result.passed,
        problem=result.problem,
        checks=[asdict(one) for one in result.checks],
        transcript=transcript,
        turns=len(result.run.answers),
        duration_ms=round(result.run.seconds * 1000),
        input_tokens=result.input_tokens,
        output_tokens=result.output_tokens,
        claimed_until=None,
    )


def transcript_of(result: Result) -> list[dict[str, object]]:
    run = result.run
    answers = list(run.answers)
    entries: list[dict[str, object]] = []
    if len(answers) > len(run.said):
        entries.append({"role": "assistant", "text": answers.pop(0)})
    for said, answer in zip(run.said, [*answers, *[""] * len(run.said)], strict=False):
        entries += [{"role": "user", "text": said}, {"role": "assistant", "text": answer}]
    return entries + [{"role": "tool", "text": f"{use.name} {use.arguments}"} for use in run.used]
