"""Hold conversations with agents by scenarios, and say what was expected and did not come. Exit 1 if anything failed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from agents.llm.closing import close_clients
from agents.llm.metering import written_at_the_end
from agents.models import AgentVersion
from agents.selectors import find_agent
from agents.trials.running import Result, carry_out
from agents.trials.scenario import Scenario, ScenarioError, parse
from agents.trials.services.scenarios import Prepared, prepare
from tenants.context import entered
from tenants.models import Tenant
from thanos.redis import close_async_client


class Command(BaseCommand):
    help = __doc__ or ""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("files", nargs="+", help="scenarios, such as scenarios/*.yaml")
        parser.add_argument("--tenant", help="the organisation's domain (default: the first one's)")
        parser.add_argument(
            "--agent-version",
            action="append",
            default=[],
            metavar="N",
            help="a version of the agent, or draft; several are compared (default: what is in use)",
        )
        parser.add_argument("--repeat", type=int, help="how often each (default: as the scenario says)")

    def handle(self, *args: Any, **options: Any) -> None:
        tenants = Tenant.objects.active().order_by("created_at")
        tenant = (tenants.filter(domains__domain=options["tenant"]) if options["tenant"] else tenants).first()
        if tenant is None:
            raise CommandError(f"There is no active organisation {options['tenant'] or 'yet'}.")
        failed = 0
        for path in options["files"]:
            try:
                scenario = parse(Path(path).read_text(encoding="utf-8"))
                for wanted in options["agent_version"] or [""]:
                    failed += self._try(tenant, scenario, wanted, options["repeat"] or scenario.repeat)
            except (OSError, UnicodeDecodeError, ScenarioError) as error:
                raise CommandError(f"{path}: {error}") from None
        if failed:
            raise CommandError(f"{failed} of the trials failed.")

    def _try(self, tenant: Tenant, scenario: Scenario, wanted: str, repeat: int) -> int:
        """Return how many failed."""
        with entered(tenant):
            version_id = _version(tenant, scenario, wanted)
            prepared = [prepare(tenant, scenario, version_id) for _ in range(repeat)]
        with written_at_the_end():
            results = asyncio.run(_run(scenario, prepared))
        passed = sum(result.passed for result in results)
        mark = "ok  " if passed == len(results) else "FAIL"
        about = f" (version {wanted})" if wanted else ""
        seconds = sum(result.run.seconds for result in results) / len(results)
        self.stdout.write(f"{mark} {scenario.name}{about}: {passed} of {len(results)}, {seconds:.1f} s each")
        for line in dict.fromkeys(_faults(results)):
            self.stdout.write(f"       {line}")
        return len(results) - passed


async def _run(scenario: Scenario, prepared: Sequence[Prepared]) -> list[Result]:
    try:
        return [
            await carry_out(scenario, brief=brief, instructions=instructions, tools=tools, context=context)
            for brief, instructions, tools, context in prepared
        ]
    finally:
        await close_clients()
        await close_async_client()


def _version(tenant: Tenant, scenario: Scenario, wanted: str) -> int | None:
    """Raises ScenarioError for a version that is not there."""
    if not wanted:
        return None
    agent = find_agent(tenant, scenario.agent) if scenario.agent else None
    version: AgentVersion | None = None
    if agent is not None:
        version = agent.draft if wanted == "draft" else agent.versions.filter(number=int(wanted or 0)).first()
    if version is None:
        raise ScenarioError(f"There is no version {wanted} of “{scenario.agent}”.")
    return version.pk


def _faults(results: list[Result]) -> list[str]:
    lines = [f"the model could not be asked: {result.problem}" for result in results if result.problem]
    return lines + [f"{one.text}: {one.why}" for result in results for one in result.checks if not one.passed]
