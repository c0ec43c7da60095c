from __future__ import annotations

from typing import Any

from django import forms

from agents.knowledge.enums import Language
from agents.knowledge.models import Document
from agents.knowledge.reading.formats import READERS

EMPTY_PAIRS = 3


class _About(forms.Form):
    title = forms.CharField(max_length=200)
    language = forms.ChoiceField(choices=Language.choices, initial=Language.ENGLISH, help_text="Which it is written in.")


class FileForm(_About):
    file = forms.FileField(
        widget=forms.FileInput(attrs={"accept": ",".join(f".{name}" for name in sorted(READERS))}),
        help_text="PDF, Word (DOCX), HTML, Markdown, plain text or CSV.",
    )

    field_order = ["file", "title", "language"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["title"].required = False
        self.fields["title"].help_text = "Empty: the file's name."


class TextForm(_About):
    text = forms.CharField(
        widget=forms.Textarea(attrs={"rows": 16}),
        help_text="Lines that begin with # are headings; they help to find things.",
    )
    field_order = ["title", "text", "language"]


class QuestionsForm(_About):
    """Questions with answers, any number: those there are, and a few empty ones."""

    def __init__(self, data: Any = None, *, pairs: list[dict[str, str]] | None = None, **kwargs: Any) -> None:
        super().__init__(data, **kwargs)
        self._data = data
        self._pairs = pairs or []

    def pairs(self) -> list[dict[str, str]]:
        """Return what was sent, or what there is with a few empty ones after it."""
        if self._data is not None:
            sent = zip(self._data.getlist("question"), self._data.getlist("answer"), strict=False)
            return [{"question": question, "answer": answer} for question, answer in sent]
        return [*self._pairs, *({"question": "", "answer": ""} for _ in range(EMPTY_PAIRS))]


class TryForm(forms.Form):
    q = forms.CharField(
        max_length=500, label="Question", widget=forms.TextInput(attrs={"type": "search", "data-search": ""})
    )
    earlier = forms.CharField(
        required=False,
        max_length=500,
        label="Previous message",
        help_text="Optional. What the caller said just before.",
    )


def initial_of(document: Document) -> dict[str, Any]:
    return {"title": document.title, "language": document.language, "text": document.text}
