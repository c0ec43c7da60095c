"""A scenario as people write it, in YAML: who calls, what they say, and what is expected. Pure.

name: Opening hours
agent: receptionist            # of the catalogue or one's own; or `prompt:` with the text of one
caller:
  says: ["When are you open?", "Thank you, goodbye."]     # or `plays:` who a model is to play, and `turns:`
results: {create_task: {ok: true}}                         # what tools answer; without any: {"ok": true}
expect:
  - says: nine                                             # in some answer; `in_turn: 1` for one of them
  - tool: end_call
    with: {reason: goodbye}                                # arguments that must be among those given
  - turns_at_most: 3
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

import yaml

from agents.patterns import PatternError, compile_pattern
from agents.schemas import faults_of, read_schema
from base.text import to_valid

MAX_LENGTH = 50_000
MAX_DEPTH = 20
MAX_TURNS = 30

_TEXT = {"type": "string", "minLength": 1, "maxLength": 2000}
_COUNT = {"type": "integer", "minimum": 1, "maximum": MAX_TURNS}
_CHECK = {
    "type": "object",
    "minProperties": 1,
    "additionalProperties": False,
    "properties": {
        "says": _TEXT,
        "says_not": _TEXT,
        "matches": _TEXT,
        "in_turn": _COUNT,
        "tool": _TEXT,
        "with": {"type": "object"},
        "no_tool": _TEXT,
        "turns_at_most": _COUNT,
        "seconds_at_most": {"type": "number", "exclusiveMinimum": 0},
        "ends": {"enum": ["hang-up", "transfer", "consult"]},
    },
    "dependentRequired": {"with": ["tool"]},
}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["name", "caller", "expect"],
    "oneOf": [{"required": ["agent"]}, {"required": ["prompt"]}],
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 120},
        "agent": _TEXT,
        "prompt": {"type": "string", "minLength": 1},
        "greeting": {"type": "string"},
        "tools": {"type": "array", "items": _TEXT},
        "variables": {"type": "object", "additionalProperties": {"type": "string"}},
        "caller": {
            "type": "object",
            "additionalProperties": False,
            "oneOf": [{"required": ["says"]}, {"required": ["plays"]}],
            "properties": {
                "says": {"type": "array", "items": _TEXT, "minItems": 1, "maxItems": MAX_TURNS},
                "plays": _TEXT,
                "turns": _COUNT,
            },
        },
        "results": {"type": "object"},
        "expect": {"type": "array", "items": _CHECK, "minItems": 1, "maxItems": 50},
        "repeat": {"type": "integer", "minimum": 1, "maximum": 20},
    },
}


class ScenarioError(ValueError):
    """The scenario cannot be used; the text says why, for whoever wrote it."""


@dataclass(frozen=True, slots=True)
class Scenario:
    name: str
    agent: str
    prompt: str
    greeting: str
    tools: tuple[str, ...] | None  # None: those the agent may use
    variables: dict[str, str]
    says: tuple[str, ...]
    plays: str
    turns: int
    results: dict[str, Any]
    checks: tuple[dict[str, Any], ...]
    repeat: int


@dataclass(frozen=True, slots=True)
class Use:
    name: str
    arguments: dict[str, Any]


@dataclass(slots=True)
class Run:
    """What was said and done. `answers` are the agent's, by turn."""

    said: list[str] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    used: list[Use] = field(default_factory=list)
    ended: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Checked:
    text: str  # the check, in words
    passed: bool
    why: str = ""


def parse(text: str) -> Scenario:
    """Raises ScenarioError."""
    data = _load(text)
    if faults := faults_of(read_schema(SCHEMA), data):
        raise ScenarioError(faults[0])
    for check in data["expect"]:
        try:
            compile_pattern(check.get("matches", ""), ignore_case=True)
        except PatternError as error:
            raise ScenarioError(f"matches: {error}") from None
    caller = data["caller"]
    return Scenario(
        name=data["name"],
        agent=data.get("agent", ""),
        prompt=data.get("prompt", ""),
        greeting=data.get("greeting", ""),
        tools=tuple(data["tools"]) if "tools" in data else None,
        variables=data.get("variables", {}),
        says=tuple(caller.get("says", ())),
        plays=caller.get("plays", ""),
        turns=caller.get("turns", len(caller.get("says", ())) or 6),
        results=data.get("results", {}),
        checks=tuple(data["expect"]),
        repeat=data.get("repeat", 1),
    )


class _Loader(yaml.SafeLoader):
    """Reads what a scenario is made of, and nothing that can be more than what was written: no aliases, no deep nests."""

    nested = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent):
            mark: Any = event.start_mark
            raise yaml.composer.ComposerError(None, None, "write it out instead of *referring* to it", mark)
        self.nested += 1
        if self.nested > MAX_DEPTH:
            raise yaml.composer.ComposerError(None, None, "it is nested too deeply", event.start_mark)
        node = super().compose_node(parent, index)
        self.nested -= 1
        return node


def _load(text: str) -> Any:
    """Return what the text says, as JSON has it. Raises ScenarioError, with a line but without what was written there."""
    if len(text) > MAX_LENGTH:
        raise ScenarioError(f"The scenario is longer than {MAX_LENGTH} characters.")
    try:
        return as_json(yaml.load(to_valid(text), Loader=_Loader))  # noqa: S506 (a SafeLoader)
    except yaml.MarkedYAMLError as error:
        where = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        why = f": {error.problem}" if isinstance(error, yaml.composer.ComposerError) else ""
        raise ScenarioError(f"This is not YAML{where}{why[:100]}.") from None
    except (yaml.YAMLError, ValueError, TypeError, RecursionError):  # such as a date that is none, or a list as a name
        raise ScenarioError("This is not YAML that can be read.") from None


def as_json(value: Any) -> Any:
    """Return what YAML reads as JSON has it: names are texts, and so are days and times. Raises TypeError."""
    match value:
        case dict():
            return {to_valid(str(name)): as_json(one) for name, one in value.items()}
        case list():
            return [as_json(one) for one in value]
        case str():
            return to_valid(value)
        case date() | datetime():
            return value.isoformat()
        case None | bool():
            return value
        case int() | float() if abs(value) < 2**63:  # neither NaN nor what no JSON holds
            return value
    raise TypeError("scenarios have no such values")


def check(scenario: Scenario, run: Run) -> list[Checked]:
    return [_check(one, run) for one in scenario.checks]


def _check(one: dict[str, Any], run: Run) -> Checked:
    text = ", ".join(f"{name} {value}" for name, value in one.items())
    for why in _faults(one, run):
        return Checked(text, False, why)
    return Checked(text, True)


def _faults(one: dict[str, Any], run: Run) -> list[str]:
    turn = one.get("in_turn")
    answers = run.answers if turn is None else run.answers[turn - 1 : turn]
    everything = "\n".join(answers)
    faults = []
    if "says" in one and one["says"].casefold() not in everything.casefold():
        faults.append(f"nobody said it; the last answer was “{(run.answers or ['nothing'])[-1][:120]}”")
    if "says_not" in one and one["says_not"].casefold() in everything.casefold():
        faults.append("it was said")
    if "matches" in one and not _find(one["matches"], everything):
        faults.append("no answer fits")
    if "tool" in one and not any(
        use.name == one["tool"] and _holds(use.arguments, one.get("with", {})) for use in run.used
    ):
        used = ", ".join(f"{use.name} {use.arguments}" for use in run.used)
        faults.append(f"used were {used[:500] or 'no tools'}")
    if "no_tool" in one and any(use.name == one["no_tool"] for use in run.used):
        faults.append("it was used")
    if "ends" in one and run.ended != one["ends"]:
        faults.append(f"it ended with {run.ended or 'the last turn'}")
    if "turns_at_most" in one and len(run.answers) > one["turns_at_most"]:
        faults.append(f"it took {len(run.answers)}")
    if "seconds_at_most" in one and run.seconds > one["seconds_at_most"]:
        faults.append(f"it took {run.seconds:.1f}")
    return faults


def _find(pattern: str, text: str) -> bool:
    return compile_pattern(pattern, ignore_case=True).search(text) is not None


def _holds(given: dict[str, Any], wanted: dict[str, Any]) -> bool:
    """Texts are among what was given if they are part of it; anything else has to be the same."""
    for name, value in wanted.items():
        if name not in given:
            return False
        if isinstance(value, str) and isinstance(given[name], str):
            if value.casefold() not in given[name].casefold():
                return False
        elif given[name] != value:
            return False
    return True


def from_transcript(name: str, agent: str, prompt: str, said: list[tuple[str, str]], tools: list[str]) -> str:
    """Return a scenario of a call that was: the caller says the same, and the same tools are expected."""
    spoken = [text for role, text in said if role == "user"][:MAX_TURNS]
    data: dict[str, Any] = {"name": name[:120]}
    data |= {"agent": agent} if agent else {"prompt": prompt}
    data["caller"] = {"says": spoken or ["Hello?"]}
    expect: list[dict[str, Any]] = [{"tool": tool} for tool in dict.fromkeys(tools)]
    data["expect"] = [*expect, {"turns_at_most": max(1, min(len(spoken) + 1, MAX_TURNS))}]
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=110)
