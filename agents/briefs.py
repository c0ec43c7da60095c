"""One agent as it is asked: what its version says, wherever that was read from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

ALL_TOOLS = "all"


@dataclass(frozen=True, slots=True)
class Brief:
    slug: str
    name: str
    specialty: str
    description: str
    prompt: str
    owner_domains: Any = ()
    telephony_only: bool = False
    is_moderator: bool = False
    provider: str = ""  # empty: the installation's, as for the next three
    model: str = ""
    temperature: float | None = None
    voice: str = ""
    tools: tuple[str, ...] | None = None  # None: whatever is offered
    version_id: int | None = None  # None: from the catalogue's file, while the database is away
    version_number: int | None = None

    def allowed(self, offered: Iterable[str]) -> list[str]:
        """Return those of the offered tools that this agent may use."""
        return [name for name in offered if self.tools is None or name in self.tools]
