"""A message inside a page: somebody's HTML, which must neither act for whoever looks at it nor change the page."""

from __future__ import annotations

from django.http import HttpResponse

# Pictures are shown as the recipient's mail program would; nothing else is loaded and nothing runs.
POLICY = "default-src 'none'; img-src https: http: data:; style-src 'unsafe-inline'; frame-ancestors 'self'; sandbox"


def framed(html: str) -> HttpResponse:
    response = HttpResponse(html)
    response["Content-Security-Policy"] = POLICY
    response["X-Frame-Options"] = "SAMEORIGIN"
    response["Referrer-Policy"] = "no-referrer"
    response["Cache-Control"] = "no-store"
    return response
