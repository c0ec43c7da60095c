"""Which organisations may use an agent. Pure, so that it can be tabled.

`owner_domains` says it: an empty list is free for everybody, a list of names is for these organisations alone. Anything
else (nothing, a text, a number, an object, a list with something but texts in it) was written before there was a rule,
and is read as free.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, Protocol, TypeVar


class Offered(Protocol):
    @property
    def owner_domains(self) -> Any: ...
    @property
    def telephony_only(self) -> bool: ...


Candidate = TypeVar("Candidate", bound=Offered)


def normalise_owner_domains(value: Any) -> list[str]:
    """Return the names in lower case, each once; an empty list is everybody.

    Blank names are kept as one blank: nobody has it, so a list of nothing but blanks is for nobody rather than for all.
    """
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        return []
    return list(dict.fromkeys(name.strip().casefold().rstrip(".") for name in value))


def is_free(owner_domains: Any) -> bool:
    return not normalise_owner_domains(owner_domains)


def is_available(owner_domains: Any, domains: Collection[str]) -> bool:
    """Tell whether an organisation with these domains may use an agent of these owners."""
    names = normalise_owner_domains(owner_domains)
    mine = {domain.strip().casefold().rstrip(".") for domain in domains} - {""}
    return not names or not mine.isdisjoint(names)


def available(
    agents: Iterable[Candidate], domains: Collection[str], *, include_telephony_only: bool = False
) -> list[Candidate]:
    """Return those of `agents` that an organisation may use, in their order; without those that only telephone."""
    return [
        agent
        for agent in agents
        if is_available(agent.owner_domains, domains) and (include_telephony_only or not agent.telephony_only)
    ]
