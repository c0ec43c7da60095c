"""An agent's answer as HTML. What a model writes is a stranger's: no HTML of its own, no pictures from elsewhere."""

from __future__ import annotations

from functools import lru_cache

from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt


@lru_cache(maxsize=1)
def _renderer() -> MarkdownIt:
    markdown = MarkdownIt("commonmark", {"html": False, "breaks": True}).enable("table").disable("image")
    markdown.validateLink = lambda url: url.startswith(("https://", "http://", "mailto:", "tel:", "/"))  # type: ignore[method-assign]
    return markdown


def render_answer(text: str) -> SafeString:
    html: str = _renderer().render(text)
    return mark_safe(html)  # noqa: S308  (escaped by the renderer: html is off)
