"""Tools as other people's servers describe them, made fit for language models' providers. Pure.

Providers take names of letters, digits, underscores and hyphens, 64 at most, and refuse a whole request for one that is not
so, or for alternatives at the top of a tool's parameters. Servers know no such limits.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from agents.schemas import SchemaError, read_schema

SEPARATOR = "__"
MAX_TOOLS = 50  # of one server
MAX_NAME = 64
MAX_DESCRIPTION = 1_000  # characters; one provider refuses more than 1,024
MAX_LEFT_OUT = 50
_REFUSED = re.compile(r"[^A-Za-z0-9_-]")
_NOT_AT_THE_TOP = ("allOf", "anyOf", "oneOf", "then", "else", "if", "not", "enum", "const")


@dataclass(frozen=True, slots=True)
class Described:
    """`tools` as they are kept on a server's row, and what is left out: `{"name", "why"}`."""

    tools: list[dict[str, Any]]
    left_out: list[dict[str, str]]


def describe(server: str, listed: Sequence[Any], *, has_more: bool = False) -> Described:
    """Return a server's tools under names that every provider takes, with what is not taken and why."""
    tools: list[dict[str, Any]] = []
    left_out: list[dict[str, str]] = []
    taken: set[str] = set()
    for told in listed[:MAX_TOOLS]:
        try:
            tool = _described(server, told)
            if tool["offered"] in taken:
                raise SchemaError("The server has another tool of this name.")
        except SchemaError as error:
            left_out.append({"name": _shown(told), "why": str(error)[:300]})
        else:
            taken.add(tool["offered"])
            tools.append(tool)
    beyond = [{"name": _shown(told), "why": f"Only the first {MAX_TOOLS} tools are taken."} for told in listed[MAX_TOOLS:]]
    if has_more or len(beyond) > MAX_LEFT_OUT:
        beyond = [*beyond[:MAX_LEFT_OUT], {"name": "…", "why": "The server has more tools than are listed here."}]
    return Described(tools, left_out + beyond)


def offered_name(server: str, name: str) -> str:
    """Return the name under which agents get a server's tool: the same for the same tool, another for each other."""
    return safe_name(f"{server}{SEPARATOR}{name}")


def safe_name(name: str) -> str:
    """Return a name that providers take. Where that loses something, a few letters of its hash keep it distinct."""
    plain = _REFUSED.sub("_", name)
    if plain == name and len(name) <= MAX_NAME:
        return name
    mark = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{plain[: MAX_NAME - len(mark) - 1]}_{mark}"


def _described(server: str, told: Any) -> dict[str, Any]:
    name = told.get("name") if isinstance(told, dict) else None
    if not isinstance(name, str) or not name.strip() or len(name) > 200:
        raise SchemaError("It has no name that can be used.")
    parameters, renamed, notes = parameters_of(told.get("inputSchema"))
    description = told.get("description")
    description = description.strip() if isinstance(description, str) else ""
    if len(description) > MAX_DESCRIPTION:
        description = description[: MAX_DESCRIPTION - 1] + "…"
        notes.append(f"Agents read only the first {MAX_DESCRIPTION} characters of its description.")
    annotations = told.get("annotations")
    title = told.get("title") or (annotations.get("title") if isinstance(annotations, dict) else "")
    return {
        "name": name,
        "offered": offered_name(server, name),
        "title": title[:100] if isinstance(title, str) else "",
        "description": description,
        "parameters": parameters,
        "renamed": renamed,
        "notes": notes[:10],
    }


def parameters_of(given: Any) -> tuple[dict[str, Any], dict[str, str], list[str]]:
    """Return parameters as providers take them, our names of those that were renamed, and notes. Raises SchemaError."""
    if given is None or given is True:
        given = {}
    if not isinstance(given, dict):
        raise SchemaError("Its parameters are no JSON Schema.")
    kind = given.get("type") or "object"
    if "object" not in (kind if isinstance(kind, list) else [kind]):
        raise SchemaError("Its parameters are no object.")
    schema = read_schema({**given, "type": "object"})
    content, notes = _flat(schema.content), list(schema.notes)
    properties = dict(content.get("properties", {}))
    required = list(content.get("required", []))
    loose = {key: content.pop(key) for key in _NOT_AT_THE_TOP if key in content}
    if loose:
        notes.append("Which of its parameters belong together is checked by the server alone.")
    for key, rule in loose.items():
        for branch in rule if isinstance(rule, list) else [rule]:
            inner = _flat(branch, content) if isinstance(branch, dict) else {}
            properties = {**inner.get("properties", {}), **properties}
            required += inner.get("required", []) if key == "allOf" else []
    names = {name: safe_name(name or "?") for name in properties}
    content["properties"] = {names[name]: rule for name, rule in properties.items()}
    required = [names.get(name, name) for name in dict.fromkeys(required)]
    if required:
        content["required"] = required
    renamed = {ours: name for name, ours in names.items() if ours != name}
    if renamed:
        content.pop("dependentRequired", None)
        content.pop("dependentSchemas", None)
    return content, renamed, notes


def _flat(schema: dict[str, Any], root: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return a schema with the one it refers to at its top written out. There are no circles: `read_schema` saw to that."""
    definitions = (root or schema).get("$defs", {})
    while "$ref" in schema:
        reference = schema["$ref"]
        target = definitions.get(reference.rsplit("/", 1)[-1]) if reference != "#" else None
        own = {key: value for key, value in schema.items() if key != "$ref"}
        schema = {**(target if isinstance(target, dict) else {}), **own}
    return dict(schema)


def _shown(told: Any) -> str:
    name = told.get("name") if isinstance(told, dict) else None
    return name[:80] if isinstance(name, str) and name.strip() else "(without a name)"


def by_offered(tools: Iterable[dict[str, Any]], server: str) -> dict[str, dict[str, Any]]:
    """Return kept tools by the name agents know; rows of before have none written down."""
    return {tool.get("offered") or offered_name(server, tool["name"]): tool for tool in tools}
