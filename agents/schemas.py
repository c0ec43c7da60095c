"""JSON Schemas of strangers: read within bounds, and checked within bounds. The only place that builds validators.

A tool's schema comes from a server or a person anywhere, and the arguments from a model; both are looked at on the event
loop that carries audio. So a schema is copied first, keyword by keyword: what the copy holds refers to nothing outside of
itself, cannot go round in circles, and has patterns that run in linear time. Checking counts its steps and gives up beyond
a number of them. Faults are told by place and rule: nothing of what was sent is quoted.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from jsonschema import Draft202012Validator, ValidationError
from jsonschema.validators import extend
from referencing import Registry
from referencing.exceptions import Unresolvable

from agents.patterns import PatternError, compile_pattern

MAX_NODES = 2_000  # objects, lists and values of a schema
MAX_CHARACTERS = 60_000
MAX_DEPTH = 32
MAX_STEPS = 3_000  # of one check, each ten microseconds or so: audio may wait for 50 ms
MAX_FAULTS = 10
SHOWN = 120  # characters of what a schema says that a fault may quote

TYPES = frozenset({"string", "number", "integer", "boolean", "array", "object", "null"})
_ONE = frozenset({"additionalProperties", "propertyNames", "items", "contains", "not", "if", "then", "else"})
_LISTS = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
_MAPS = frozenset({"properties", "patternProperties", "dependentSchemas"})
_IN_PLACE = ("allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas")  # look at the same value again
_ANNOTATIONS = frozenset({"title", "description", "default", "examples", "format"})  # for the model
_UNUSED = frozenset({"unevaluatedProperties", "unevaluatedItems", "$dynamicRef", "$recursiveRef", "additionalItems"})


class SchemaError(ValueError):
    """The schema cannot be kept; the text says why, for whoever wrote it."""


@dataclass(frozen=True, slots=True)
class Schema:
    """A schema that is safe to check with. `notes` say what of the original is not checked, and why."""

    content: dict[str, Any]
    notes: tuple[str, ...] = ()


def read_schema(given: Any) -> Schema:
    """Return a bounded copy with the keywords that are known here, older drafts brought up to date. Raises SchemaError."""
    if not isinstance(given, dict):
        raise SchemaError("A schema is a JSON object.")
    return _Reading(given).read()


def faults_of(schema: Schema, value: Any) -> list[str]:
    """Return what is wrong with a value, ten faults at most. Bounded in time, whatever schema and value are."""
    budget = _Budget(value)
    token = _budget.set(budget)
    try:
        validator = _Validator(schema.content, registry=_NOTHING_ELSE)
        return list(dict.fromkeys(map(_told, islice(validator.iter_errors(value), MAX_FAULTS))))
    except (_Spent, RecursionError):
        return ["there is too much in it to be checked"]
    except (Unresolvable, ArithmeticError, ValueError, TypeError):
        return ["it cannot be checked"]
    finally:
        _budget.reset(token)


# --- reading ---------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Reading:
    root: dict[str, Any]
    nodes: int = 0
    notes: dict[str, None] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)  # of the copy's definitions, by what is referred to
    waiting: list[str] = field(default_factory=list)

    def read(self) -> Schema:
        copy = self.schema(self.root, "", 0)
        definitions = {}
        while self.waiting:  # what is referred to may refer to more
            reference = self.waiting.pop()
            definitions[self.names[reference]] = self.schema(self.target(reference), reference, 0)
        if definitions:
            copy["$defs"] = definitions
        _refuse_circles(copy)
        if len(json.dumps(copy)) > MAX_CHARACTERS:
            raise SchemaError(f"The schema is longer than {MAX_CHARACTERS} characters.")
        return Schema(copy, tuple(self.notes))

    def schema(self, given: Any, place: str, depth: int) -> Any:
        self.count(depth)
        if isinstance(given, bool):  # the library tells no place for what is false
            return given or {"not": True}
        if not isinstance(given, dict):
            raise SchemaError(f"{_at(place)}here stands no schema.")
        copy: dict[str, Any] = {}
        for key, value in _up_to_date(given).items():
            here = f"{place}/{key}"[:SHOWN]
            if key == "$ref":
                copy[key] = self.reference(value, place)
            elif key == "additionalProperties" and value is False:
                copy[key] = value
            elif key in _ONE:
                copy[key] = self.schema(value, here, depth + 1)
            elif key in _LISTS:
                if not isinstance(value, list) or not value:
                    raise SchemaError(f"{_at(place)}“{key}” must be a list of schemas.")
                copy[key] = [self.schema(one, here, depth + 1) for one in value]
            elif key in _MAPS:
                if not isinstance(value, dict):
                    raise SchemaError(f"{_at(place)}“{key}” must be an object of schemas.")
                copy[key] = {
                    name: self.schema(one, f"{here}/{name}"[:SHOWN], depth + 1)
                    for name, one in value.items()
                    if key != "patternProperties" or self.can_run(name)
                }
            elif key == "pattern":
                if not isinstance(value, str):
                    raise SchemaError(f"{_at(place)}“pattern” must be a text.")
                if self.can_run(value):
                    copy[key] = value
            elif key in _RULES:
                is_right, wanted = _RULES[key]
                if not is_right(value):
                    raise SchemaError(f"{_at(place)}“{key}” must be {wanted}.")
                self.values(value, depth + 1)
                copy[key] = value
            elif key in _ANNOTATIONS:
                self.values(value, depth + 1)
                copy[key] = value
            elif key in _UNUSED:
                self.notes[f"“{key}” is not checked."] = None
        if len(copy.get("patternProperties", ())) < len(given.get("patternProperties", ())):
            copy.pop("additionalProperties", None)  # would forbid what a pattern that cannot be run allows
        return copy

    def reference(self, given: Any, place: str) -> str:
        if not isinstance(given, str) or not (given == "#" or given.startswith("#/")):
            raise SchemaError(f"{_at(place)}“$ref” must begin with “#/”: nothing outside of the schema is looked up.")
        if given == "#":
            return given
        if given not in self.names:
            self.target(given)
            self.names[given] = f"{len(self.names) + 1}"
            self.waiting.append(given)
        return f"#/$defs/{self.names[given]}"

    def target(self, reference: str) -> Any:
        found: Any = self.root
        for part in reference[2:].split("/"):
            name = part.replace("~1", "/").replace("~0", "~")
            if isinstance(found, list) and name.isascii() and name.isdigit() and int(name[:6]) < len(found):
                found = found[int(name[:6])]
            elif isinstance(found, dict) and name in found:
                found = found[name]
            else:
                raise SchemaError(f"“{reference[:SHOWN]}” refers to nothing.")
        return found

    def can_run(self, pattern: str) -> bool:
        try:
            compile_pattern(pattern)
        except PatternError as error:
            self.notes[f"{error} It is not checked."] = None
            return False
        return True

    def values(self, value: Any, depth: int) -> None:
        self.count(depth)
        for one in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            self.values(one, depth + 1)

    def count(self, depth: int) -> None:
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise SchemaError(f"The schema has more than {MAX_NODES} parts.")
        if depth > MAX_DEPTH:
            raise SchemaError(f"The schema is nested more than {MAX_DEPTH} levels deep.")


def _up_to_date(given: dict[str, Any]) -> dict[str, Any]:
    """Return a schema of an older draft, or of OpenAPI, as the newest writes it."""
    new = dict(given)
    for limit, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        if isinstance(new.get(exclusive), bool):  # draft 4
            is_exclusive = new.pop(exclusive)
            if is_exclusive and limit in new:
                new[exclusive] = new.pop(limit)
    if isinstance(new.get("items"), list):  # until 2019-09
        new["prefixItems"] = new.pop("items") or [True]
        if "additionalItems" in new:
            new["items"] = new.pop("additionalItems")
    if isinstance(new.get("dependencies"), dict):
        for name, needs in new.pop("dependencies").items():
            key = "dependentRequired" if isinstance(needs, list) else "dependentSchemas"
            new[key] = {**(new.get(key) or {}), name: needs}
    if new.get("nullable") is True and isinstance(new.get("type"), str):
        new["type"] = [new["type"], "null"]
    return new


def _refuse_circles(copy: dict[str, Any]) -> None:
    """Raises SchemaError for references that come round to where they began without a step into the value."""
    schemas: dict[str, Any] = {"#": copy} | {f"#/$defs/{name}": one for name, one in copy.get("$defs", {}).items()}
    safe: set[str] = set()

    def follow(reference: str, path: tuple[str, ...]) -> None:
        if reference in path:
            raise SchemaError("A “$ref” refers to itself without end.")
        if reference not in safe:
            for one in _in_place(schemas[reference]):
                follow(one, (*path, reference))
            safe.add(reference)

    for reference in schemas:
        follow(reference, ())


def _in_place(schema: Any) -> Iterator[str]:
    """Yield the references that are followed for the very value that the schema is for."""
    if not isinstance(schema, dict):
        return
    if "$ref" in schema:
        yield schema["$ref"]
    for key in _IN_PLACE:
        inner = schema.get(key)
        for one in inner if isinstance(inner, list) else inner.values() if key == "dependentSchemas" and inner else [inner]:
            yield from _in_place(one)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return _is_number(value) and value >= 0 and value == int(value)


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _is_type(value: Any) -> bool:
    types = value if isinstance(value, list) else [value]
    return bool(types) and all(isinstance(one, str) and one in TYPES for one in types)


def _is_dependency(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_is_texts, value.values()))


_RULES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "type": (_is_type, "one of " + ", ".join(sorted(TYPES)) + ", or a list of them"),
    "enum": (lambda value: isinstance(value, list), "a list"),
    "const": (lambda value: True, ""),
    "required": (_is_texts, "a list of names"),
    "dependentRequired": (_is_dependency, "an object of lists of names"),
    "multipleOf": (lambda value: _is_number(value) and value > 0, "a number above zero"),
    "uniqueItems": (lambda value: isinstance(value, bool), "true or false"),
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), (_is_number, "a number")),
    **dict.fromkeys(
        ("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties", "minContains", "maxContains"),
        (_is_count, "a whole number"),
    ),
}


def _at(place: str) -> str:
    return f"{place.lstrip('/').replace('/', '.')}: " if place else ""


# --- checking --------------------------------------------------------------------------------------------------------


class _Spent(Exception):
    """A check took more steps than it may."""


class _Budget:
    """Counts the steps of one check; a step on a large value is more than one, as the value may be gone through."""

    def __init__(self, value: Any) -> None:
        self._left = MAX_STEPS
        self._sizes: dict[int, int] = {}
        self._measure(value)

    def spend(self, value: Any, more: int = 0) -> None:
        self._left -= 1 + more + self.size(value) // 200
        if self._left < 0:
            raise _Spent

    def size(self, value: Any) -> int:
        return len(value) if isinstance(value, str) else self._sizes.get(id(value), 0)

    def _measure(self, value: Any) -> int:
        if isinstance(value, str):
            return len(value)
        if not isinstance(value, (list, dict)):
            return 8
        inner = sum(len(name) for name in value) if isinstance(value, dict) else 0
        size = inner + sum(4 + self._measure(one) for one in (value.values() if isinstance(value, dict) else value))
        self._sizes[id(value)] = size
        return size


_budget: ContextVar[_Budget] = ContextVar("steps_of_a_check")
_NOTHING_ELSE: Registry[Any] = Registry()  # retrieves nothing: references lead into the schema itself or nowhere
_Keyword = Callable[[Any, Any, Any, Any], Any]


def _counted(name: str, keyword: _Keyword) -> _Keyword:
    def check(validator: Any, rule: Any, value: Any, schema: Any) -> Any:
        budget = _budget.get()
        more = len(rule) // 5 if isinstance(rule, (list, dict)) else 0
        if name in _LISTS:  # to enter a schema costs, even one without rules
            more = 2 * len(rule)
        elif name in _ONE and isinstance(value, (list, dict)):
            more += 2 * len(value)
        elif name == "uniqueItems":
            more = budget.size(value) // 7
        elif name == "$ref":
            more = 6
        budget.spend(value, more)
        return keyword(validator, rule, value, schema)

    return check


def _matches(pattern: str, text: str) -> bool:
    compiled = compile_pattern(pattern)
    _budget.get().spend(text, len(text) * compiled.programsize // 2_000)
    return compiled.search(text) is not None


def _pattern(validator: Any, pattern: str, value: Any, schema: Any) -> Iterator[ValidationError]:
    if isinstance(value, str) and not _matches(pattern, value):
        yield ValidationError("pattern")


def _pattern_properties(validator: Any, rules: Mapping[str, Any], value: Any, schema: Any) -> Iterator[ValidationError]:
    if isinstance(value, dict):
        for pattern, rule in rules.items():
            for name, one in value.items():
                if _matches(pattern, name):
                    yield from validator.descend(one, rule, path=name, schema_path=pattern)


def _additional_properties(validator: Any, rule: Any, value: Any, schema: Any) -> Iterator[ValidationError]:
    if isinstance(value, dict):
        for name in _extra(value, schema):
            if rule is False:
                yield ValidationError("additionalProperties")
                return
            yield from validator.descend(value[name], rule, path=name)


def _extra(value: Mapping[str, Any], schema: Mapping[str, Any]) -> Iterator[str]:
    patterns = schema.get("patternProperties", {})
    for name in value:
        if name not in schema.get("properties", {}) and not any(_matches(pattern, name) for pattern in patterns):
            yield name


def _unique_items(validator: Any, rule: bool, value: Any, schema: Any) -> Iterator[ValidationError]:
    if rule and isinstance(value, list):
        seen = {json.dumps(_plain(one), sort_keys=True) for one in value}
        if len(seen) < len(value):
            yield ValidationError("uniqueItems")


def _plain(value: Any) -> Any:
    """Return a value with 1.0 as 1: for JSON Schema they are the same."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return {name: _plain(one) for name, one in value.items()} if isinstance(value, dict) else value


_OURS: dict[str, _Keyword] = {
    "pattern": _pattern,
    "patternProperties": _pattern_properties,
    "additionalProperties": _additional_properties,
    "uniqueItems": _unique_items,
}
_Validator = extend(
    Draft202012Validator,
    {name: _counted(name, _OURS.get(name, keyword)) for name, keyword in Draft202012Validator.VALIDATORS.items()},
)


# --- telling ---------------------------------------------------------------------------------------------------------

_TOLD: dict[str, Callable[[Any], str]] = {
    "type": lambda rule: f"must be of type {' or '.join([rule] if isinstance(rule, str) else rule)}",
    "enum": lambda rule: f"must be one of {_short(rule)}",
    "const": lambda rule: f"must be {_short(rule)}",
    "minimum": lambda rule: f"must be {rule} or more",
    "maximum": lambda rule: f"must be {rule} or less",
    "exclusiveMinimum": lambda rule: f"must be more than {rule}",
    "exclusiveMaximum": lambda rule: f"must be less than {rule}",
    "multipleOf": lambda rule: f"must be a multiple of {rule}",
    "minLength": lambda rule: f"must have {rule} characters or more",
    "maxLength": lambda rule: f"must have {rule} characters or less",
    "minItems": lambda rule: f"must have {rule} entries or more",
    "maxItems": lambda rule: f"must have {rule} entries or less",
    "minProperties": lambda rule: f"must have {rule} entries or more",
    "maxProperties": lambda rule: f"must have {rule} entries or less",
    "pattern": lambda rule: f"must match the pattern {_short(rule)}",
    "uniqueItems": lambda rule: "must not have the same entry twice",
    "anyOf": lambda rule: "fits none of the alternatives",
    "oneOf": lambda rule: _one_of(rule),
    "not": lambda rule: "must not be given" if rule is True else "breaks the rule “not”",
}


def _told(fault: ValidationError) -> str:
    """Return a fault in words: where it is, and which rule of the schema it breaks."""
    where = ".".join(str(part)[:40] for part in list(fault.absolute_path)[:8])
    rule, value = fault.validator_value, fault.instance
    if fault.validator == "required" and isinstance(value, dict):
        why = f"{_short([name for name in rule if name not in value])} is missing"
    elif fault.validator == "additionalProperties" and isinstance(value, dict):
        known = _short(list(fault.schema.get("properties", {})))  # type: ignore[union-attr, arg-type]
        why = f"{_short(list(islice(_extra(value, fault.schema), 5)))} is not known; known are {known}"  # type: ignore[arg-type]
    elif fault.validator == "dependentRequired" and isinstance(value, dict):
        needs = {one for name, needed in rule.items() if name in value for one in needed} - set(value)
        why = f"{_short(sorted(needs))} is missing beside what is given"
    else:
        told = _TOLD.get(str(fault.validator))
        why = told(rule) if told else f"breaks the rule “{fault.validator}”"
    return f"{where}: {why}"[:300] if where else why[:300]


def _one_of(rule: list[Any]) -> str:
    names = [one["required"] for one in rule if isinstance(one, dict) and list(one) == ["required"]]
    if len(names) == len(rule):
        return f"needs exactly one of {_short([' and '.join(one) for one in names])}"
    return "must fit exactly one of the alternatives"


def _short(rule: Any) -> str:
    if isinstance(rule, list):
        text = ", ".join(one if isinstance(one, str) else json.dumps(one, ensure_ascii=False) for one in rule[:20])
    else:
        text = rule if isinstance(rule, str) else json.dumps(rule, ensure_ascii=False)
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
