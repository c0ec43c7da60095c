"""What became of calls by version. Rooms above that know calls register here; without any, nothing is shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from agents.models import Agent


@dataclass(frozen=True, slots=True)
class Outcome:
    """Figures of one version in the entered tenant. None is what nobody has measured."""

    version_id: int
    number: int
    state: str
    calls: int
    answered: int
    transferred: int
    mean_length_s: float | None
    wait_p50_ms: int | None
    cost: Decimal | None  # of a call, on average
    booked: int | None
    currency: str = ""

    @property
    def answered_share(self) -> float | None:
        return self.answered / self.calls if self.calls else None

    @property
    def transferred_share(self) -> float | None:
        return self.transferred / self.answered if self.answered else None


Provider = Callable[[Agent], list[Outcome]]
_providers: list[Provider] = []


def register(provider: Provider) -> Provider:
    if provider not in _providers:
        _providers.append(provider)
    return provider


def outcomes_of(agent: Agent) -> list[Outcome]:
    """Return the newest versions' outcomes, the newest first."""
    return [outcome for provider in _providers for outcome in provider(agent)]
