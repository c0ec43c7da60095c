"""From a line's rows to what one conversation needs to know."""

from __future__ import annotations

from django.conf import settings
from django.utils import timezone

from agents.tools import tools_named
from telephony.engines.base import EngineConfig, ToolSpec, Utterance
from telephony.enums import Direction
from telephony.models import Call, Line
from telephony.plan import CallPlan, Limits, Texts
from telephony.services.callers import recognise_caller
from telephony.transcripts.history import said_so_far
from tenants.models import Tenant


def fill(text: str, *, line: Line, organisation: str) -> str:
    """Put the names in; anything else in braces stays as it is written."""
    return text.replace("{agent_name}", line.agent_name).replace("{organisation}", organisation)


def plan_call(*, call: Call, tenant: Tenant) -> CallPlan:
    """Return the plan for the call's current stream. Must run inside the tenant."""
    line = call.line
    if line is None:
        raise LookupError("the call's line was deleted")
    tools = tools_named(line.tools)
    note = call.agent_note if call.stream_count > 1 else ""
    history = said_so_far(call) if call.stream_count > 1 else ()
    known = recognise_caller(call=call)
    prompt = "\n\n".join(filter(None, (fill(line.prompt, line=line, organisation=tenant.name), known, note)))

    return CallPlan(
        call_id=str(call.pk),
        call_sid=call.call_sid,
        schema=tenant.schema_name,
        stream_number=call.stream_count,
        engine_name=call.engine,
        engine=_engine_config(line, tenant, prompt=prompt, history=history),
        texts=_texts(line, tenant),
        limits=_limits(line),
        irreversible_tools=frozenset(name for name, tool in tools.items() if tool.irreversible),
        transfer_number=line.fallback_number,
        caller_number=call.from_number,
        elapsed_s=(timezone.now() - (call.answered_at or timezone.now())).total_seconds(),
        record=line.record_calls and call.direction != Direction.BROWSER,
        is_browser=call.direction == Direction.BROWSER,
        is_told=bool(note),
    )


def _engine_config(line: Line, tenant: Tenant, *, prompt: str, history: tuple[Utterance, ...]) -> EngineConfig:
    env = settings.ENV
    tools = tools_named(line.tools).values()
    return EngineConfig(
        prompt=prompt,
        greeting="" if history else fill(line.greeting, line=line, organisation=tenant.name),
        language=line.language,
        voice=line.voice or env.voice_agent_speaking_model,
        listen_model=line.listen_model or env.voice_agent_listening_model,
        think_provider=line.think_provider,
        think_model=line.think_model or env.voice_agent_thinking_model,
        temperature=line.temperature,
        tools=tuple(ToolSpec(tool.name, tool.description, tool.parameters, tool.irreversible) for tool in tools),
        history=history,
        tags=(tenant.schema_name,),
    )


def _texts(line: Line, tenant: Tenant) -> Texts:
    def filled(text: str) -> str:
        return fill(text, line=line, organisation=tenant.name)

    return Texts(
        silence_prompt=filled(line.silence_prompt_text),
        silence_goodbye=filled(line.silence_goodbye_text),
        length_goodbye=filled(line.length_goodbye_text),
        length_warning_note=filled(line.length_warning_note),
        dtmf_note=filled(line.dtmf_note),
        resume=filled(line.resume_text),
    )


def _limits(line: Line) -> Limits:
    return Limits(
        max_call_s=line.max_call_s,
        length_warning_s=line.length_warning_s,
        silence_prompt_s=line.silence_prompt_s,
        silence_goodbye_s=line.silence_goodbye_s,
        max_dead_air_s=line.max_dead_air_s,
    )
