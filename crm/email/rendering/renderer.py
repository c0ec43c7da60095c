"""Rendering, as the rest of the product asks for it. The work is done in `child`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from crm.email.rendering.process import ChildError, UnavailableError, ask
from crm.email.rendering.sources import PARTS, Source

# CPU time of one call: so much, more for a long template, which Jinja compiles at 10 to 40 ms for a kilobyte of tags,
# and more for each row. A usual template takes some 0.1 ms for a row.
BUDGET_S = 1.5
BUDGET_PER_KB_S = 0.03
BUDGET_COMPILING_S = 3.0  # however long it is
BUDGET_PER_ROW_S = 0.03
# More go in several calls: between them others have their turn, and the child's memory stays small.
ROWS_AT_ONCE = 250


class RenderError(ValueError):
    """A template cannot be rendered. The text says why, for whoever wrote it."""

    def __init__(self, message: str, *, part: str = "html", line: int | None = None) -> None:
        super().__init__(message)
        self.part = part
        self.line = line

    @property
    def place(self) -> str:
        return f"{self.part}, line {self.line}" if self.line else self.part


class RendererUnavailableError(RenderError):
    """It could not be tried: other templates are in the way, or the process that renders died. It may work later."""


@dataclass(frozen=True, slots=True)
class Rendering:
    subject: str
    html: str
    text: str


@dataclass(frozen=True, slots=True)
class Row:
    pieces: dict[str, tuple[str, ...]]  # by part; the n-th stands behind the n-th static text


@dataclass(frozen=True, slots=True)
class Split:
    """A template's fixed texts, and for each recipient what stands between them.

    For each part `len(statics) == len(pieces) + 1`, and `statics[0] + pieces[0] + statics[1] + …` is the message.
    """

    statics: dict[str, tuple[str, ...]]
    rows: list[Row | RenderError]
    can_batch: bool = field(default=True)

    def join(self, row: Row) -> Rendering:
        return Rendering(**{part: _join(self.statics[part], row.pieces[part]) for part in PARTS})


def render(*, source: Source, values: Mapping[str, Any]) -> Rendering:
    """Return one message. Raises RenderError, also for a name that `values` has not."""
    split = render_split(source=source, many=[values])
    row = split.rows[0]
    if isinstance(row, RenderError):
        raise row
    return split.join(row)


def render_split(*, source: Source, many: Sequence[Mapping[str, Any]]) -> Split:
    """Render for many at once: what is the same for all is returned once.

    A row whose values do not fit is a RenderError in its place. One that concerns all of them is raised.
    """
    statics: dict[str, tuple[str, ...]] = {}
    rows: list[Row | RenderError] = []
    for start in range(0, max(1, len(many)), ROWS_AT_ONCE):
        piece = [dict(values) for values in many[start : start + ROWS_AT_ONCE]]
        budget_s = _budget_s(source) + BUDGET_PER_ROW_S * len(piece)
        answer = _ask({"op": "split", **_fields(source), "rows": piece}, budget_s)
        statics = {part: tuple(answer["statics"][part]) for part in PARTS}
        rows += (_row(row) for row in answer["rows"])
    return Split(statics, rows)


def inspect(source: Source) -> dict[str, Any]:
    """Return what is found without rendering anything.

    `{"problems": [[part, line, text]], "uses": [[name, part, line, is_bare]], "markup": [[level, line, text]]}`
    """
    return _ask({"op": "inspect", **_fields(source)}, _budget_s(source))


def text_source(html: str) -> str:
    """Return a template's HTML as text, its Jinja tags kept: what a template's text part could be. Raises RenderError."""
    source = Source("", html)
    return str(_ask({"op": "as_text", **_fields(source)}, _budget_s(source))["text"])


def mail_text(html: str) -> str:
    """Return an e-mail's HTML as text, quoted parts behind "> ". Nothing in it is a template's. Raises RenderError."""
    source = Source("", html)
    return str(_ask({"op": "mail_to_text", **_fields(source)}, _budget_s(source))["text"])


def _budget_s(source: Source) -> float:
    kilobytes = sum(map(len, _fields(source).values())) / 1000
    return BUDGET_S + min(BUDGET_COMPILING_S, BUDGET_PER_KB_S * kilobytes)


def _fields(source: Source) -> dict[str, str]:
    return {"subject": source.subject, "html": source.html, "text": source.text}


def _ask(request: dict[str, Any], budget_s: float) -> dict[str, Any]:
    try:
        answer = ask(request, budget_s=budget_s)
    except UnavailableError as error:
        raise RendererUnavailableError(str(error)) from None
    except ChildError as error:
        raise RenderError(str(error)) from None
    if "error" in answer:
        raise _error(answer["error"])
    return answer


def _row(answer: Any) -> Row | RenderError:
    if "error" in answer:
        return _error(answer["error"])
    return Row({part: tuple(answer[part]) for part in PARTS})


def _error(found: Sequence[Any]) -> RenderError:
    part, line, text = found
    return RenderError(text, part=part, line=line)


def _join(statics: Sequence[str], pieces: Sequence[str]) -> str:
    joined = [statics[0]]
    for piece, static in zip(pieces, statics[1:], strict=True):
        joined += (piece, static)
    return "".join(joined)
