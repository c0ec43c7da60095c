"""Bodies of API requests, within bounds: JSON by one decoder with a limit of depth, forms of text that can be stored."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from typing import Any

from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse
from rest_framework import parsers
from rest_framework.exceptions import ParseError

from base.jsontext import JSONTextError, decode

View = Callable[[HttpRequest], HttpResponse]


def takes_any_text(view: View) -> View:
    """Leave out the check of a view's form. For messages from strangers: the view makes their text valid and keeps it."""

    @wraps(view)
    def unchecked(request: HttpRequest) -> HttpResponse:
        request.takes_any_text = True  # type: ignore[attr-defined]
        return view(request)

    return unchecked


def check_form(fields: Any, files: Any = ()) -> None:
    """Raises BadRequest for a form with text that cannot be stored."""
    for name, values in fields.lists():
        check_text([name, *values])
    for name in files or ():
        check_text([name, *(upload.name or "" for upload in files.getlist(name))])


def check_text(texts: Iterable[str]) -> None:
    """Raises BadRequest for NUL, for half a surrogate pair, and where something was not UTF-8."""
    for text in texts:
        if "\x00" in text or any("\ud800" <= character <= "\udfff" for character in text):
            raise BadRequest("The text holds characters that cannot be stored.")


class JSONParser(parsers.JSONParser):
    """Half a surrogate pair becomes U+FFFD, control characters are left out; too deep, or no JSON, is a 400."""

    def parse(
        self, stream: Any, media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        try:
            found: dict[str, Any] = decode(stream.read())
        except JSONTextError as error:
            raise ParseError(str(error)) from None
        return found


class FormParser(parsers.FormParser):
    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        return _checked(super().parse(stream, media_type, parser_context))


class MultiPartParser(parsers.MultiPartParser):
    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        found = super().parse(stream, media_type, parser_context)
        _checked(found.data, found.files)
        return found


def _checked(fields: Any, files: Any = ()) -> Any:
    try:
        check_form(fields, files)
    except BadRequest as error:
        raise ParseError(str(error)) from None
    return fields
