"""Schemas of strangers: nothing is fetched, nothing takes long, and no fault quotes what was sent."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as within
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from agents.patterns import PatternError, compile_pattern
from agents.schemas import MAX_NODES, SchemaError, faults_of, read_schema
from agents.tools import Tool, ToolError, ToolOutcome, parse_arguments
from thanos.env import BASE_DIR

LIMIT_S = 0.5  # far above the 50 ms that are meant: this machine may be busy with other things


def of(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def faults(schema: dict[str, Any], value: Any) -> list[str]:
    return faults_of(read_schema(schema), value)


# --- what is refused when a schema is kept ---------------------------------------------------------------------------


def doubling(levels: int) -> dict[str, Any]:
    steps = {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(levels)}
    return {"$ref": "#/$defs/d0", "$defs": {**steps, f"d{levels}": {"type": "string"}}}


def nested(levels: int) -> dict[str, Any]:
    inner: dict[str, Any] = {}
    for _ in range(levels):
        inner = {"anyOf": [inner]}
    return inner


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        (of(a={"$ref": "http://127.0.0.2:18131/latest/meta-data"}), "nothing outside of the schema"),
        (of(a={"$ref": "https://json-schema.org/draft/2020-12/schema"}), "nothing outside"),
        (of(a={"$ref": "file:///etc/passwd"}), "nothing outside"),
        (of(a={"$ref": "other.json#/x"}), "nothing outside"),
        (of(a={"$ref": "#anchor"}), "nothing outside"),
        (of(a={"$ref": 7}), "nothing outside"),
        ({"$id": "http://127.0.0.1/", "properties": {"a": {"$ref": "x"}}}, "nothing outside"),
        ({"allOf": [{"if": {"not": {"items": {"$ref": "ftp://h/x"}}}}]}, "nothing outside"),
        (of(a={"$ref": "#/$defs/none"}), "refers to nothing"),
        (of(a={"$ref": "#/required/99"}) | {"required": ["x"]}, "refers to nothing"),
        (of(a={"$ref": "#/required/0"}) | {"required": ["x"]}, "no schema"),
        ({"$ref": "#"}, "without end"),
        ({"anyOf": [{"$ref": "#/$defs/a"}], "$defs": {"a": {"not": {"$ref": "#"}}}}, "without end"),
        (of(a={"$ref": "#/$defs/a"}) | {"$defs": {"a": {"dependentSchemas": {"x": {"$ref": "#/$defs/a"}}}}}, "without end"),
        (nested(40), "levels deep"),
        (of(a={"default": json.loads("[" * 40 + "]" * 40)}), "levels deep"),
        (of(**{f"p{n}": {"type": "string"} for n in range(MAX_NODES)}), "parts"),
        (of(a={"enum": ["x" * 70_000]}), "characters"),
        (of(a={"type": "any"}), "a: “type” must be one of"),
        (of(a={"type": []}), "“type”"),
        (of(a={"minLength": -1}), "“minLength” must be a whole number"),
        (of(a={"multipleOf": 0}), "above zero"),
        (of(a={"required": True}), "list of names"),
        (of(a={"pattern": 7}), "must be a text"),
        (of(a={"anyOf": []}), "list of schemas"),
        (of(a=3), "no schema"),
        ({"properties": 3}, "object of schemas"),
        ("text", "JSON object"),
    ],
)
def test_what_cannot_be_kept_says_why(schema: Any, why: str, monkeypatch: pytest.MonkeyPatch):
    def no_request(*_: Any, **__: Any) -> None:
        raise AssertionError("something was opened")

    monkeypatch.setattr("urllib.request.urlopen", no_request)
    with pytest.raises(SchemaError, match=re.escape(why)):
        read_schema(schema)


def test_what_is_not_checked_is_told():
    schema = read_schema(
        {
            "type": "object",
            "properties": {"a": {"pattern": "(?=x)y"}, "b": {"$dynamicRef": "#x"}},
            "patternProperties": {r"(\w)\1": {}, "^x": {"type": "string"}},
            "additionalProperties": False,
            "unevaluatedProperties": False,
        }
    )
    told = " ".join(schema.notes)
    assert all(word in told for word in ("(?=x)y", r"(\w)\1", "$dynamicRef", "unevaluatedProperties"))
    # Another name may be one that the pattern we cannot run allows.
    assert faults_of(schema, {"a": "n", "aa": 1, "x1": "s"}) == []
    assert faults_of(schema, {"x1": 1}) == ["x1: must be of type string"]


@pytest.mark.parametrize(
    ("schema", "right", "wrong"),
    [
        ({"items": [{"type": "string"}], "additionalItems": False}, ["a"], ["a", "b"]),
        ({"minimum": 3, "exclusiveMinimum": True}, 4, 3),
        ({"maximum": 3, "exclusiveMaximum": False}, 3, 4),
        ({"dependencies": {"a": ["b"]}}, {"a": 1, "b": 2}, {"a": 1}),
        ({"dependencies": {"a": {"required": ["b"]}}}, {"a": 1, "b": 2}, {"a": 1}),
        ({"type": "string", "nullable": True}, None, 1),
        ({"definitions": {"x/y": {"type": "string"}}, "$ref": "#/definitions/x~1y"}, "a", 1),
        ({"components": {"schemas": {"T": {"type": "null"}}}, "items": {"$ref": "#/components/schemas/T"}}, [None], [1]),
        ({"$schema": "http://json-schema.org/draft-07/schema#", "pattern": "^a\\u00e9$"}, "aé", "a"),
    ],
)
def test_older_drafts_are_understood(schema: dict[str, Any], right: Any, wrong: Any):
    assert faults(schema, right) == []
    assert faults(schema, wrong)


def test_a_tree_may_refer_to_itself():
    tree = of(name={"type": "string"}, children={"type": "array", "items": {"$ref": "#"}})
    assert faults(tree, {"name": "a", "children": [{"name": "b", "children": []}]}) == []
    assert faults(tree, {"children": [{"children": [{"name": 1}]}]}) == [
        "children.0.children.0.name: must be of type string"
    ]


# --- what checking costs ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (of(a={"pattern": "^(a+)+$"}), {"a": "a" * 40 + "!"}),
        (of(a={"pattern": "^(a+)+$"}), {"a": "a" * 60_000 + "!"}),
        (of(a={"pattern": "([a-q][^u-z]{300}x|[^a]{1,300}b)*c"}), {"a": "ab" * 30_000}),
        ({"patternProperties": {f"(x+x+)+y{n}": {} for n in range(50)}}, {"x" * 500 + str(n): 1 for n in range(50)}),
        ({"patternProperties": {"^(a+)+$": {}}, "additionalProperties": False}, {"a" * 5000 + "!": 1}),
        ({"$schema": "http://json-schema.org/draft-07/schema#", **of(a={"pattern": "^(a+)+$"})}, {"a": "a" * 40 + "!"}),
        (of(a={"$schema": "http://json-schema.org/draft-04/schema#", "pattern": "^(a+)+$"}), {"a": "a" * 40 + "!"}),
        (doubling(30), "x"),
        (doubling(30), {}),
        (of(a={"uniqueItems": True}), {"a": [{"x": n} for n in range(6000)]}),
        (of(a={"items": {"enum": [[n] * 5 for n in range(300)]}}), {"a": [[n] * 5 for n in range(3000)]}),
        (of(a={"items": {"allOf": [{}] * 400}}), {"a": [[]] * 3000}),
        (of(a={"anyOf": [{"anyOf": [{"minLength": 9}] * 30}] * 30}), {"a": ["x" * 1000] * 60}),
        (of(a={"items": {"not": {"required": ["x"]}}}), {"a": [{"x": "y" * 300}] * 200}),
        (of(a={"contains": {"type": "null"}, "minContains": 2}), {"a": [1] * 20_000}),
        (of(a={"multipleOf": 1e-300}), {"a": 1e300}),
        (of(a={"multipleOf": 0.1}), {"a": 10**4000}),
        (of(a={"const": "x" * 50_000}), {"a": "x" * 50_000}),
        (of(**{f"p{n}": {"type": "string"} for n in range(600)}), {f"p{n}": n for n in range(600)}),
    ],
)
def test_no_schema_and_no_arguments_take_long(schema: dict[str, Any], value: Any):
    began = time.perf_counter()
    faults(schema, value)
    assert time.perf_counter() - began < LIMIT_S


def test_what_cannot_be_checked_in_time_does_not_pass():
    assert faults(doubling(30), "x") == ["there is too much in it to be checked"]


def test_patterns_run_in_linear_time_or_not_at_all():
    assert compile_pattern("^[a-z]{2}\\d+$").search("ab12")
    assert compile_pattern("GRÜSS", ignore_case=True).search("mit grüssen")
    assert compile_pattern(r"\\u00e9").search(r"\u00e9")
    for pattern in ("(?=a)", r"(a)\1", "(", "(a{1,100}){1,100}", "a" * 2000, "(?<!x)y", "\ud83d"):
        with pytest.raises(PatternError):
            compile_pattern(pattern)


# --- what is told ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schema", "value", "told"),
    [
        (of(a={"type": ["string", "null"]}), {"a": 1}, "a: must be of type string or null"),
        (of(a={"enum": ["red", 7]}), {"a": "geheim"}, "a: must be one of red, 7"),
        (of(a={"const": {"b": 1}}), {"a": "geheim"}, 'a: must be {"b": 1}'),
        (of() | {"required": ["a", "b"]}, {"b": "geheim"}, "a is missing"),
        (of(a={"maxLength": 3}), {"a": "geheim"}, "a: must have 3 characters or less"),
        (of(a={"pattern": "^x"}), {"a": "geheim"}, "a: must match the pattern ^x"),
        (of(a={"anyOf": [{"type": "null"}, {"type": "number"}]}), {"a": "geheim"}, "a: fits none of the alternatives"),
        (of(a=False), {"a": "geheim"}, "a: must not be given"),
        (of(a={"items": {"minimum": 3}}), {"a": [5, 1]}, "a.1: must be 3 or more"),
        (of(a={"not": {"type": "string"}}), {"a": "geheim"}, "a: breaks the rule “not”"),
        (of(a={}) | {"dependentRequired": {"a": ["b", "c"]}}, {"a": "geheim"}, "b, c is missing beside what is given"),
    ],
)
def test_a_fault_names_place_and_rule_and_quotes_nothing(schema: dict[str, Any], value: Any, told: str):
    assert faults(schema, value) == [told]


def test_faults_are_short_and_few():
    schema = of(a={"items": {"enum": ["x" * 500]}}, **{"n" * 400: {"type": "null"}})
    told = faults(schema, {"a": ["y"] * 50, "n" * 400: 1})
    assert len(told) == 10
    assert all(len(one) <= 300 for one in told)


# --- whole kinds -----------------------------------------------------------------------------------------------------

_names = st.sampled_from(["a", "b", "c", ""])
_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.floats(allow_nan=False, width=16)
    | st.sampled_from(["", "a", "ab", "é"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_names, inner, max_size=3),
    max_leaves=8,
)
_types = st.sampled_from(["string", "number", "integer", "boolean", "array", "object", "null"])


def _schemas(inner: Any) -> Any:
    return st.fixed_dictionaries(
        {},
        optional={
            "type": _types | st.lists(_types, min_size=1, max_size=3, unique=True),
            "enum": st.lists(_values, min_size=1, max_size=3),
            "const": _values,
            "properties": st.dictionaries(_names, inner, max_size=3),
            "patternProperties": st.dictionaries(st.sampled_from(["^a", "b$", "."]), inner, max_size=2),
            "additionalProperties": inner,
            "required": st.lists(_names, max_size=2, unique=True),
            "items": inner,
            "prefixItems": st.lists(inner, min_size=1, max_size=2),
            "contains": inner,
            "uniqueItems": st.booleans(),
            "minimum": st.integers(-3, 3),
            "multipleOf": st.sampled_from([1, 2, 0.5]),
            "maxLength": st.integers(0, 3),
            "pattern": st.sampled_from(["^a", "b", "é$"]),
            "allOf": st.lists(inner, min_size=1, max_size=2),
            "anyOf": st.lists(inner, min_size=1, max_size=2),
            "oneOf": st.lists(inner, min_size=1, max_size=2),
            "not": inner,
            "if": inner,
            "then": inner,
        },
    )


SCHEMAS = st.recursive(st.booleans() | _schemas(st.booleans()), _schemas, max_leaves=5).filter(
    lambda one: isinstance(one, dict)
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)
KEYWORDS = st.sampled_from(
    [
        "$ref",
        "$defs",
        "$schema",
        "$id",
        "$dynamicRef",
        "type",
        "items",
        "properties",
        "pattern",
        "patternProperties",
        "anyOf",
    ]
    + ["not", "enum", "const", "required", "dependencies", "additionalItems", "minimum", "exclusiveMinimum", "multipleOf"]
    + ["uniqueItems", "unevaluatedProperties", "default", "nullable", "maxLength", "contains", "prefixItems", "format"]
)
WRONG = st.recursive(
    JSON | st.sampled_from(["#", "#/$defs/a", "http://127.0.0.1:9/x", "^(a+)+$", "(?=a)", "string", "object", "draft-07"]),
    lambda inner: st.dictionaries(KEYWORDS | st.just("a"), inner, max_size=4) | st.lists(inner, max_size=3),
    max_leaves=15,
)
examples = within(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@examples
@given(SCHEMAS, _values)
def test_it_says_the_same_as_the_specification(schema: dict[str, Any], value: Any):
    assert (faults(schema, value) == []) is Draft202012Validator(schema).is_valid(value)


async def never(context: Any, arguments: Any) -> ToolOutcome:
    raise AssertionError


@examples
@given(WRONG, JSON | st.text())
def test_any_schema_and_any_arguments_end_in_arguments_or_a_tool_error(schema: Any, value: Any):
    tool = Tool("tool", "", schema, never)
    text = value if isinstance(value, str) else json.dumps(value)
    began = time.perf_counter()
    try:
        read = parse_arguments(tool, text)
    except ToolError as error:
        assert len(str(error)) < 4000
        str(error).encode()
    else:
        json.dumps(read, ensure_ascii=False).encode()
    assert time.perf_counter() - began < LIMIT_S


def test_validators_are_built_in_one_place():
    roots = [BASE_DIR / name for name in ("agents", "base", "billing", "crm", "telephony", "tenants", "thanos")]
    built = re.compile(r"Draft\w+Validator\b|jsonschema\.validate|import jsonschema|from jsonschema")
    found = [
        path.name
        for root in roots
        for path in root.rglob("*.py")
        if "tests" not in path.parts and built.search(path.read_text())
    ]
    assert found == ["schemas.py"]
