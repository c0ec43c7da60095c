"""From a line's rows to what one conversation needs to know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from django.conf import settings
from django.utils import timezone

from agents.briefs import Brief
from agents.collaboration.rules import rules_from
from agents.collaboration.working import Specialists
from agents.composing import Composed, compose
from agents.models import AgentVersion
from agents.organisation.models import agent_settings
from agents.selectors import available_briefs
from agents.tools import Tool, ToolContext, tools_named
from billing.tiers import Tier
from crm.phones import is_e164
from telephony.engines.base import EngineConfig, ToolSpec, Utterance
from telephony.engines.voice_agent.settings import MANAGED_PROMPT_LIMIT
from telephony.enums import Direction, EventKind
from telephony.fitting import fit_prompt
from telephony.models import Call, Line
from telephony.plan import CallPlan, Joining, Limits, Texts
from telephony.services import entries
from telephony.services.callers import recognise_caller
from telephony.services.purposes import purpose_of
from telephony.services.sentences import fill, fill_all, values_of
from telephony.services.spending import plan_spending, take_tier
from telephony.transcripts.history import said_so_far
from tenants.models import Tenant

CONSULT = "consult_specialist"
# Our names of language models' providers, as the voice provider writes them.
_THINK_PROVIDERS = {"openai": "open_ai", "anthropic": "anthropic"}


@dataclass(frozen=True, slots=True)
class Composition:
    """A line with its agent: what the model reads, what it may use, and how it thinks and sounds."""

    prompt: Composed
    greeting: str
    tools: Mapping[str, Tool]
    voice: str
    think_provider: str
    think_model: str
    temperature: float


def compose_line(*, line: Line, tenant: Tenant, version: AgentVersion | None, tier: Tier = Tier.STANDARD) -> Composition:
    """Return a line's agent as it answers. Must run inside the tenant.

    The agent's version comes first, what the line adds after it. A model that the line names wins over the version's,
    and brings the line's temperature; a voice that the line names does the same. A tier's own model and voice win over
    all of them.
    """
    env = settings.ENV
    brief = version.brief() if version is not None else None
    values = values_of(line, tenant)
    names = brief.allowed(line.tools) if brief is not None else line.tools
    tier_model, tier_voice = _of_tier(line, tier)
    model = tier_model or line.think_model or (brief.model if brief else "") or env.voice_agent_thinking_model
    return Composition(
        prompt=compose([brief.prompt if brief else "", line.prompt], values),
        greeting=fill(line.greeting, values),
        tools=tools_named(names, "call"),
        voice=tier_voice or line.voice or (brief.voice if brief else "") or env.voice_agent_speaking_model,
        think_provider=_think_provider(line, brief),
        think_model=model,
        temperature=_temperature(line, brief),
    )


def _of_tier(line: Line, tier: Tier) -> tuple[str, str]:
    of = {Tier.PREMIUM: (line.premium_model, line.premium_voice), Tier.ECONOMY: (line.economy_model, line.economy_voice)}
    return of.get(tier, ("", ""))


def _think_provider(line: Line, brief: Brief | None) -> str:
    if brief is None or line.think_model or not brief.provider:
        return line.think_provider
    return _THINK_PROVIDERS.get(brief.provider, brief.provider)


def _temperature(line: Line, brief: Brief | None) -> float:
    if brief is None or line.think_model or brief.temperature is None:
        return line.temperature
    return brief.temperature


def plan_call(*, call: Call, tenant: Tenant) -> CallPlan:
    """Return the plan for the call's current stream. Must run inside the tenant."""
    line = call.line
    if line is None:
        raise LookupError("the call's line was deleted")
    note = call.agent_note if call.stream_count > 1 else ""
    history = said_so_far(call) if call.stream_count > 1 else ()
    known = recognise_caller(call=call)
    version = _version(call)
    tier = take_tier(call=call, line=line, tenant=tenant)
    composed = compose_line(line=line, tenant=tenant, version=version, tier=tier)
    joining = plan_joining(call=call, tenant=tenant, version=version) if CONSULT in composed.tools else None
    if joining is None:  # an agent that cannot bring in anybody must not offer to
        composed = replace(composed, tools={name: tool for name, tool in composed.tools.items() if name != CONSULT})
    prompt = fit_prompt(composed.prompt.text, (known, note), MANAGED_PROMPT_LIMIT)
    if prompt.left_out:
        entries.note(call, EventKind.WARNING, {"code": "PROMPT_TOO_LONG", "characters_left_out": len(prompt.left_out)})
    sentences = fill_all(line, tenant)
    return CallPlan(
        call_id=str(call.pk),
        call_sid=call.call_sid,
        schema=tenant.schema_name,
        stream_number=call.stream_count,
        engine_name=call.engine,
        engine=_engine_config(line, tenant, composed, prompt=prompt.text, history=history),
        texts=_texts(sentences),
        limits=_limits(line),
        tools=composed.tools,
        joining=joining,
        transfer_number=line.fallback_number,
        caller_number=call.from_number if is_e164(call.from_number) else "",
        caller_verified=call.is_attested,
        details_by_number=line.details_by_number,
        own_number=call.to_number,
        elapsed_s=(timezone.now() - (call.answered_at or timezone.now())).total_seconds(),
        record=line.record_calls and call.direction != Direction.BROWSER,
        is_browser=call.direction == Direction.BROWSER,
        purpose=purpose_of(call),
        spending=plan_spending(
            call=call,
            line=line,
            tenant=tenant,
            note=sentences["budget_warning_note"],
            wind_down=sentences["budget_wind_down_note"],
            goodbye=sentences["budget_goodbye_text"],
        ),
        is_told=bool(note),
    )


def plan_joining(*, call: Call, tenant: Tenant, version: AgentVersion | None) -> Joining | None:
    """Return who may join the call and by what rules; None when nobody may, or nobody could."""
    settings_row = agent_settings()
    if not settings_row.specialists_join:
        return None
    context = ToolContext(str(call.pk), tenant.schema_name, "", "", own_number=call.to_number)
    own_slug = version.agent.slug if version is not None else ""
    briefs = available_briefs(tenant, include_telephony_only=True)
    specialists = Specialists(tenant, briefs, own_slug=own_slug, context=context)
    if not specialists.can_work:
        return None
    return Joining(rules_from(settings_row, may_rate=specialists.can_rate), specialists)


def _version(call: Call) -> AgentVersion | None:
    if call.agent_version_id is None:
        return None
    return AgentVersion.objects.select_related("agent").filter(pk=call.agent_version_id).first()


def _engine_config(
    line: Line, tenant: Tenant, composed: Composition, *, prompt: str, history: tuple[Utterance, ...]
) -> EngineConfig:
    return EngineConfig(
        prompt=prompt,
        greeting="" if history else composed.greeting,
        language=line.language,
        voice=composed.voice,
        listen_model=line.listen_model or settings.ENV.voice_agent_listening_model,
        think_provider=composed.think_provider,
        think_model=composed.think_model,
        temperature=composed.temperature,
        tools=tuple(
            ToolSpec(tool.name, tool.description, tool.parameters, tool.irreversible) for tool in composed.tools.values()
        ),
        history=history,
        tags=(tenant.schema_name,),
    )


def _texts(sentences: Mapping[str, str]) -> Texts:
    return Texts(
        silence_prompt=sentences["silence_prompt_text"],
        silence_goodbye=sentences["silence_goodbye_text"],
        length_goodbye=sentences["length_goodbye_text"],
        length_warning_note=sentences["length_warning_note"],
        dtmf_note=sentences["dtmf_note"],
        resume=sentences["resume_text"],
    )


def _limits(line: Line) -> Limits:
    return Limits(
        max_call_s=line.max_call_s,
        length_warning_s=line.length_warning_s,
        silence_prompt_s=line.silence_prompt_s,
        silence_goodbye_s=line.silence_goodbye_s,
        max_dead_air_s=line.max_dead_air_s,
    )
