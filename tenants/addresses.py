"""Links to this installation: scheme and port of `PUBLIC_BASE_URL`, host of the table of domains.

The Host header decides which organisation is asked for, and nothing else. A link built from it would carry whatever a
stranger put there into somebody's e-mail.
"""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urljoin, urlsplit

from django.conf import settings
from django.http import HttpRequest
from django.utils.encoding import iri_to_uri


def base_url(domain: str | None) -> str:
    """Return the address of a tenant's domain, of the installation without one; no slash at the end."""
    public = urlsplit(settings.PUBLIC_URL)
    if domain is None:
        return f"{public.scheme}://{public.netloc}"
    host = f"[{domain}]" if ":" in domain else domain
    return f"{public.scheme}://{host}" + (f":{public.port}" if public.port else "")


def link_builder(request: HttpRequest) -> Callable[..., str]:
    """Return what takes the place of `request.build_absolute_uri`."""
    domain = getattr(request, "domain", None)

    def build(location: str | None = None) -> str:
        base = base_url(domain.domain if domain is not None else None)
        if location is None:
            return iri_to_uri(base + request.get_full_path())  # type: ignore[return-value]
        return iri_to_uri(urljoin(base + request.path, str(location)))  # type: ignore[return-value]

    return build
