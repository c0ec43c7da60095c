"""Text that is longer than whoever reads it takes: both ends are kept, and what is left out is known. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

GAP = "\n[…]\n"
_SEEK = 400  # characters in which a paragraph's or a word's end is looked for


@dataclass(frozen=True, slots=True)
class Fitted:
    text: str
    left_out: str = ""


def fit(text: str, limit: int) -> Fitted:
    """Return at most `limit` characters: the beginning and the end, with a mark between them where something is missing."""
    if len(text) <= limit:
        return Fitted(text)
    room = max(0, limit - len(GAP))
    head = _to_a_boundary(text[: room // 2])
    tail = _to_a_boundary(text[len(text) - (room - len(head)) :][::-1])[::-1] if room else ""
    return Fitted((head + GAP + tail)[:limit], text[len(head) : len(text) - len(tail)])


def fit_prompt(prompt: str, after: Sequence[str], limit: int) -> Fitted:
    """Return the prompt with what comes after it, within the limit.

    What is known of the caller and notes of the moment stay whole as long as they leave the prompt half of the room; the
    prompt keeps its beginning, which says who the agent is, and its end, where its last rules stand.
    """
    said = "\n\n".join(filter(None, after))
    known = fit(said, limit // 2)
    suffix = f"\n\n{known.text}" if known.text else ""
    fitted = fit(prompt, limit - len(suffix))
    return Fitted((fitted.text + suffix).strip(), "\n".join(filter(None, (fitted.left_out, known.left_out))))


def _to_a_boundary(text: str) -> str:
    """Return the text without the paragraph, or the word, that its end breaks off."""
    for mark in ("\n", " "):
        at = text.rfind(mark, max(0, len(text) - _SEEK))
        if at > 0:
            return text[: at + 1]
    return text


def pieces_of(lines: Sequence[str], size: int) -> list[str]:
    """Return lines joined into pieces of at most `size` characters; none is lost, and only a longer one is broken."""
    pieces: list[str] = []
    for line in lines:
        for start in range(0, max(len(line), 1), size):
            part = line[start : start + size]
            if pieces and len(pieces[-1]) + 1 + len(part) <= size:
                pieces[-1] += "\n" + part
            else:
                pieces.append(part)
    return pieces
