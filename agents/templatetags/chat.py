from __future__ import annotations

from django import template
from django.utils.safestring import SafeString

from agents.chat.rendering import render_answer

register = template.Library()


@register.filter
def answer(text: str) -> SafeString:
    """An agent's answer, its Markdown as HTML."""
    return render_answer(text)
