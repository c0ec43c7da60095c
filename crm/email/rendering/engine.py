"""Jinja2 as templates of e-mails may use it. Runs in the child process only.

A template is compiled once. Its texts outside of any tag are the statics; between them, marks are put into what it
prints, and a rendered message is cut at the marks into the pieces that differ from recipient to recipient.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import CodeType
from typing import Any

from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError, Undefined, nodes, pass_context
from jinja2.environment import Template
from jinja2.exceptions import SecurityError
from jinja2.meta import find_undeclared_variables
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from crm.email.rendering import plaintext
from crm.email.rendering.sources import MAX_PART_BYTES, PARTS, Source

MAX_RANGE = 10_000
MAX_REPEATED = 100_000  # characters or items that one multiplication may make
_MARK = f"\0{secrets.token_hex(12)}\0"  # no template can know it, and the parser drops \0 from what is written
_BREAKS = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]+")
_FILTERS = "abs batch capitalize count d default dictsort e escape first float int join last length list lower max min "
_FILTERS += "replace reverse round slice sort string striptags sum title trim truncate unique upper urlencode wordcount "
_FILTERS += "wordwrap"
_TESTS = "boolean defined divisibleby eq equalto even false float ge gt in integer le lower lt ne none number odd sequence "
_TESTS += "string true undefined upper == != > >= < <="
_ALLOWED_STATEMENTS: tuple[type[nodes.Node], ...] = (
    nodes.Output,
    nodes.If,
    nodes.For,
    nodes.Assign,
    nodes.AssignBlock,
    nodes.FilterBlock,
    nodes.With,
    nodes.Scope,
)
_SILENT = (nodes.Assign, nodes.AssignBlock)


class TemplateProblem(Exception):
    """The author's to mend; the text says what."""

    def __init__(self, text: str, *, part: str, line: int | None) -> None:
        super().__init__(text)
        self.part, self.line = part, line


class _NotAllowedError(TemplateError):
    pass


def _range(*numbers: int) -> range:
    found = range(*numbers)
    if len(found) > MAX_RANGE:
        raise _NotAllowedError(f"a range has at most {MAX_RANGE:,} numbers")
    return found


@pass_context  # with which Jinja prints nothing at compile time, and so all of it through here
def _shown(_: Context, value: Any) -> Any:
    """Nothing is printed as nothing, and yes and no as exports write them."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, str | int | float | list | tuple | dict | Undefined):
        raise _NotAllowedError("this is nothing that can be printed")
    return value


class _Environment(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset({"*", "**", "%"})

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if operator == "**":
            raise _NotAllowedError("powers cannot be used here")
        if operator == "%" and isinstance(left, str):
            raise _NotAllowedError("“%” cannot be used with a text; put texts together with “~”")
        if operator == "*":
            for sequence, times in ((left, right), (right, left)):
                if (
                    isinstance(sequence, str | list | tuple)
                    and isinstance(times, int)
                    and len(sequence) * times > MAX_REPEATED
                ):
                    raise _NotAllowedError("the text gets too long")
        return super().call_binop(context, operator, left, right)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        return (
            not attr.startswith("_")
            and attr != "format"
            and attr != "format_map"
            and super().is_safe_attribute(obj, attr, value)
        )


def _environment(*, is_html: bool) -> _Environment:
    made = _Environment(
        autoescape=is_html,
        undefined=StrictUndefined,
        finalize=_shown,
        optimized=False,
        cache_size=0,
        keep_trailing_newline=True,
    )
    made.globals = {"range": _range}
    made.filters = {name: made.filters[name] for name in _FILTERS.split()}
    made.tests = {name: made.tests[name] for name in _TESTS.split()}
    return made


_ENVIRONMENTS = {"html": _environment(is_html=True), "text": _environment(is_html=False)}
_ENVIRONMENTS["subject"] = _ENVIRONMENTS["text"]
_at_work = ["html"]


def part_at_work() -> str:
    return _at_work[0]


@dataclass(frozen=True, slots=True)
class Compiled:
    statics: tuple[str, ...]
    render: Callable[[Mapping[str, Any]], list[str]]  # the pieces
    ids: tuple[int, ...]  # for each piece; equal for what is written in the same words
    names: tuple[tuple[str, int], ...]  # that values must have, and where they are first used


# --- compiling -------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=64)
def compiled(part: str, text: str) -> Compiled:
    """Raises TemplateProblem."""
    tree = parse(part, text)
    environment = _ENVIRONMENTS[part]
    with Problems(part):
        names = tuple(sorted(_first_lines(tree).items()))
        statics, runs = _divide(tree)
        ids = tuple(_ids(runs))
        code = environment.compile(tree, name=part, filename="<template>")
        template = Template.from_code(environment, _as_code(code), dict(environment.globals))
    count = len(statics) - 1
    return Compiled(tuple(statics), lambda values: _pieces(template, values, part, count), ids, names)


def _as_code(code: Any) -> CodeType:
    assert isinstance(code, CodeType)
    return code


def parse(part: str, text: str) -> nodes.Template:
    if len(text.encode("utf-8", "replace")) > MAX_PART_BYTES:
        raise TemplateProblem(f"It is longer than {MAX_PART_BYTES // 1000} kB.", part=part, line=None)
    with Problems(part):
        tree = _ENVIRONMENTS[part].parse(text.replace("\0", ""), filename="<template>")
        _refuse(tree.body, part)
        return tree


def _refuse(body: Iterable[nodes.Node], part: str) -> None:
    for statement in body:
        if not isinstance(statement, _ALLOWED_STATEMENTS):
            raise TemplateProblem(f"“{_word(statement)}” cannot be used in an e-mail.", part=part, line=statement.lineno)
        if isinstance(statement, nodes.For) and statement.recursive:
            raise TemplateProblem("A loop cannot be recursive.", part=part, line=statement.lineno)
        for field in ("body", "elif_", "else_"):
            _refuse(getattr(statement, field, None) or (), part)


def _word(statement: nodes.Node) -> str:
    words: dict[type[nodes.Node], str] = {
        nodes.FromImport: "from",
        nodes.CallBlock: "call",
        nodes.ScopedEvalContextModifier: "autoescape",
    }
    return words.get(type(statement), type(statement).__name__.lower())


def _divide(tree: nodes.Template) -> tuple[list[str], list[list[nodes.Node]]]:
    """Put marks between the top-level texts and what is computed; return the texts, and what stands between them."""
    statics, runs, body = [""], list[list[nodes.Node]](), list[nodes.Node]()
    for node in _flat(tree.body):
        if isinstance(node, nodes.TemplateData):
            statics[-1] += node.data
        elif isinstance(node, _SILENT):
            body.append(node)
        else:
            if runs and statics[-1] == "":
                runs[-1].append(node)
            else:
                if runs:
                    body.append(_output(nodes.TemplateData(_MARK), node.lineno))
                runs.append([node])
                statics.append("")
            body.append(_output(node, node.lineno) if isinstance(node, nodes.Expr) else node)
    tree.body = body
    return statics, runs


def _flat(body: Iterable[nodes.Node]) -> Iterator[nodes.Node]:
    for node in body:
        if isinstance(node, nodes.Output):
            yield from node.nodes
        else:
            yield node


def _output(node: nodes.Node, line: int) -> nodes.Output:
    made = nodes.Output([node], lineno=line)  # type: ignore[list-item]
    made.set_environment(node.environment or _ENVIRONMENTS["html"])
    return made


def _ids(runs: Sequence[list[nodes.Node]]) -> Iterator[int]:
    seen: dict[str, int] = {}
    for run in runs:
        yield seen.setdefault(repr(run), len(seen))


def _first_lines(tree: nodes.Template) -> dict[str, int]:
    found: dict[str, int] = {}
    for name in asked_for(tree):
        found[name.name] = min(name.lineno, found.get(name.name, name.lineno))
    return found


def asked_for(tree: nodes.Template) -> list[nodes.Name]:
    wanted = (find_undeclared_variables(tree) | {"self"}) - {"range"}
    return [name for name in tree.find_all(nodes.Name) if name.name in wanted and name.ctx == "load"]


class Problems:
    """Turns whatever the compiler raises into a TemplateProblem."""

    def __init__(self, part: str) -> None:
        self.part = part
        _at_work[0] = part

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, _: Any) -> None:
        if error is None or isinstance(error, TemplateProblem | MemoryError) or not isinstance(error, Exception):
            return
        line = error.lineno if isinstance(error, TemplateSyntaxError) else line_of(error)
        raise TemplateProblem(_said(error), part=self.part, line=line) from None


def _said(error: BaseException) -> str:
    if isinstance(error, RecursionError):
        return "It is nested too deeply."
    if isinstance(error, SecurityError):
        return "This cannot be used in a template."
    if isinstance(error, SyntaxError) and "nested" in str(error):
        return "It is nested too deeply."
    text = str(getattr(error, "message", "") or error) or type(error).__name__
    return (text[0].upper() + text[1:])[:300].rstrip(".") + "."


def line_of(error: BaseException) -> int | None:
    """The template's line an error came from: Jinja rewrites the trace so that it shows the template's own lines."""
    line, trace = None, error.__traceback__
    while trace is not None:
        info = trace.tb_frame.f_globals.get("__jinja_template__")
        if trace.tb_frame.f_code.co_filename == "<template>":
            line = info.get_corresponding_lineno(trace.tb_lineno) if info is not None else trace.tb_lineno
        trace = trace.tb_next
    return line


# --- rendering -------------------------------------------------------------------------------------------------------


def _pieces(template: Template, values: Mapping[str, Any], part: str, count: int) -> list[str]:
    _at_work[0] = part
    size, chunks = 0, []
    stream = template.root_render_func(template.new_context(dict(values)))
    for chunk in stream:
        size += len(chunk)
        if size > MAX_PART_BYTES:
            line = template.get_corresponding_lineno(stream.gi_frame.f_lineno)  # type: ignore[attr-defined]
            raise TemplateProblem(f"What comes out is longer than {MAX_PART_BYTES // 1000} kB.", part=part, line=line)
        chunks.append(chunk)
    # Half a character, as "\ud800" in a template makes one, can be neither stored nor sent.
    return "".join(chunks).encode("utf-8", "ignore").decode().split(_MARK) if count else []


@dataclass(frozen=True, slots=True)
class _Whole:
    subject: Compiled
    html: Compiled
    text: Compiled | None
    plain: plaintext.Skeleton | None  # of the HTML, where there is no text

    def statics(self) -> dict[str, tuple[str, ...]]:
        text = self.text.statics if self.text else self.plain.statics if self.plain else ("",)
        subject = tuple(_one_line(static) for static in self.subject.statics)
        return {"subject": subject, "html": self.html.statics, "text": text}

    def names(self) -> Iterator[tuple[str, str, int]]:
        for part in PARTS:
            found: Compiled | None = getattr(self, part)
            yield from ((name, part, line) for name, line in (found.names if found else ()))


@lru_cache(maxsize=16)
def _whole(source: Source) -> _Whole:
    subject, html = compiled("subject", source.subject), compiled("html", source.html)
    if source.text.strip():
        return _Whole(subject, html, compiled("text", source.text), None)
    _at_work[0] = "text"
    return _Whole(subject, html, None, plaintext.skeleton(html.statics, html.ids))


def split(source: Source, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    whole = _whole(source)
    return {"statics": whole.statics(), "rows": [_row(whole, values) for values in rows]}


def _row(whole: _Whole, values: Mapping[str, Any]) -> dict[str, Any]:
    try:
        for name, part, line in whole.names():
            if name not in values:
                raise TemplateProblem(f"There is nothing called “{name}”.", part=part, line=line)
        return _rendered(whole, values)
    except TemplateProblem as problem:
        return {"error": [problem.part, problem.line, str(problem)]}


def _rendered(whole: _Whole, values: Mapping[str, Any]) -> dict[str, Any]:
    found = {}
    for part in PARTS:
        ready: Compiled | None = getattr(whole, part)
        if ready is not None:
            with Problems(part):
                found[part] = ready.render(values)
    found["subject"] = [_one_line(piece) for piece in found["subject"]]
    if whole.plain is not None:
        _at_work[0] = "text"
        found["text"] = whole.plain.pieces(found["html"])
    return found


def _one_line(text: str) -> str:
    """A subject is a header: a line break in it would begin another."""
    return _BREAKS.sub(" ", text)
