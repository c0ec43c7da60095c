"""What a template asks for, found without rendering it. Runs in the child process only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from jinja2 import nodes

from crm.email.rendering.engine import Problems, TemplateProblem, asked_for, compiled, parse
from crm.email.rendering.sources import PARTS, Source


def inspect(source: Source) -> dict[str, Any]:
    """Return the problems of each part, and the names it uses, without rendering anything."""
    problems: list[tuple[str, int | None, str]] = []
    uses: list[tuple[str, str, int, bool]] = []
    for part in PARTS:
        text: str = getattr(source, part)
        try:
            uses += _uses(parse(part, text), part)
            compiled(part, text)
        except TemplateProblem as problem:
            problems.append((problem.part, problem.line, str(problem)))
    return {"problems": problems, "uses": uses}


def _uses(tree: nodes.Template, part: str) -> list[tuple[str, str, int, bool]]:
    with Problems(part):
        bare = {id(name) for name in _bare(tree.body, frozenset())}
        return [(name.name, part, name.lineno, id(name) in bare) for name in asked_for(tree)]
    raise AssertionError("unreachable")


def _bare(body: Iterable[nodes.Node], guarded: frozenset[str]) -> Iterator[nodes.Name]:
    """Names that are printed as they are, so that an empty value leaves a gap."""
    for node in body:
        if isinstance(node, nodes.Output):
            for expression in node.nodes:
                yield from (name for name in _printed(expression) if name.name not in guarded)
            continue
        asked = guarded
        if isinstance(node, nodes.If):
            asked = guarded | {name.name for name in node.test.find_all(nodes.Name)}
            asked |= {node.test.name} if isinstance(node.test, nodes.Name) else set()
        for field in ("body", "elif_", "else_"):
            yield from _bare(getattr(node, field, None) or (), asked)


def _printed(expression: nodes.Node) -> Iterator[nodes.Name]:
    if isinstance(expression, nodes.Name):
        yield expression
    elif isinstance(expression, nodes.Filter) and expression.name not in ("default", "d") and expression.node is not None:
        yield from _printed(expression.node)
    elif isinstance(expression, nodes.Concat):
        for node in expression.nodes:
            yield from _printed(node)
