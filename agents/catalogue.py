"""The catalogue's file: the agents every installation begins with."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from agents.briefs import ALL_TOOLS, Brief

PATH = Path(__file__).resolve().parent / "data" / "catalogue.yaml"
_WRAP = re.compile(r"(?<!\n)\n(?!\n)")  # lines of a paragraph, broken for whoever reads the file
# What the file says of an agent, and of its version; what it leaves out is the value here.
AGENT_FIELDS: dict[str, Any] = {
    "name": "",
    "specialty": "",
    "description": "",
    "owner_domains": [],
    "telephony_only": False,
    "is_moderator": False,
}
VERSION_FIELDS: dict[str, Any] = {
    "prompt": "",
    "provider": "",
    "model": "",
    "temperature": None,
    "voice": "",
    "tools": ALL_TOOLS,
}


class CatalogueError(ValueError):
    """The file cannot be used; the text says why."""


def parse(text: str) -> list[dict[str, Any]]:
    """Return the entries, every field filled in. Raises CatalogueError."""
    try:
        entries = yaml.safe_load(text) or []
    except yaml.YAMLError as error:
        raise CatalogueError(f"The catalogue is not YAML: {error}") from None
    known = {"slug", *AGENT_FIELDS, *VERSION_FIELDS}
    found = []
    for entry in entries:
        if unknown := set(entry) - known:
            raise CatalogueError(f"{entry.get('slug')}: nobody knows {', '.join(sorted(unknown))}.")
        if missing := [name for name in ("slug", "name", "specialty", "prompt") if not entry.get(name)]:
            raise CatalogueError(f"{entry.get('slug')}: {', '.join(missing)} must be given.")
        prompt = _WRAP.sub(" ", entry["prompt"].strip())
        found.append({"slug": entry["slug"], **AGENT_FIELDS, **VERSION_FIELDS, **entry, "prompt": prompt})
    if len({entry["slug"] for entry in found}) < len(found):
        raise CatalogueError("A slug is used twice.")
    return found


@lru_cache(maxsize=1)
def entries() -> tuple[dict[str, Any], ...]:
    return tuple(parse(PATH.read_text()))


def free_briefs() -> list[Brief]:
    """Return the catalogue's free agents from the file alone: what is offered while the database is away."""
    found = []
    for entry in entries():
        values = dict(entry)
        tools = values.pop("tools")
        brief = Brief(**values, tools=None if tools == ALL_TOOLS else tuple(tools))
        if not brief.owner_domains:
            found.append(brief)
    return found
