from __future__ import annotations

from collections.abc import Callable
from urllib.parse import unquote_to_bytes

from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse
from django.utils.cache import patch_vary_headers

from tenants.middleware import HOSTLESS
from tenants.parsers import check_form, check_text
from thanos.views import bad_request


class VaryOnHtmx:
    """The same address answers a whole page or a piece of one: a browser must not keep the one for the other.

    Without this, going back to a page that refreshes itself would show its last piece alone.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self._get_response(request)
        if response.headers.get("Content-Type", "").startswith("text/html"):
            patch_vary_headers(response, ["HX-Request"])
        return response


class ValidText:
    """Refuses text in addresses and forms that no column of the database takes: NUL, and what is not Unicode.

    Whoever means well never sends it, and without this each place that looks something up would have to ask. A view that
    `takes_any_text` makes its form valid itself.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        try:
            query = unquote_to_bytes(request.META.get("QUERY_STRING", "").replace("+", " ")).decode()
            check_text([request.path, query])
        except (UnicodeDecodeError, BadRequest) as error:
            return bad_request(request, error)
        self._watch_form(request)
        return self._get_response(request)

    @staticmethod
    def _watch_form(request: HttpRequest) -> None:
        """A form is read when it is first asked for, which may be late, or never: it is looked at then."""
        read = request._load_post_and_files  # type: ignore[attr-defined]

        def read_and_check() -> None:
            read()
            if not getattr(request, "takes_any_text", False):
                check_form(request._post, request._files)  # type: ignore[attr-defined]

        request._load_post_and_files = read_and_check  # type: ignore[attr-defined, method-assign]


class NoStore:
    """What is shown to somebody signed in stays in no cache: neither a proxy's nor, after signing out, the browser's."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self._get_response(request)
        # The API sets the person of a token on the request as well. Where no session was asked for, none is looked up.
        # Answers of the API are somebody's even where nobody is signed in yet: they may be the tokens.
        if request.path.startswith(HOSTLESS):
            return response
        if request.path.startswith("/api/v1/") or request.user.is_authenticated:
            response.headers["Cache-Control"] = "no-store"
        return response
