"""What the OpenAPI description says of every operation: the errors it may answer with, and what a token needs.

A view names in `may_conflict` those of its actions that answer 409 when things are not as the request takes them to be.
"""

from __future__ import annotations

from typing import Any

from drf_spectacular.openapi import AutoSchema
from rest_framework import serializers
from rest_framework.views import APIView

from tenants.idempotency import HEADER, LONGEST_KEY
from tenants.permissions import scope_for

WRITING = ("POST", "PUT", "PATCH")
ERRORS = {
    "400": "Something in the request is wrong; the answer says what, by field.",
    "401": "Nobody is signed in, or the token does not work.",
    "403": "The person, or the token's scopes, do not allow this.",
    "404": "There is no such thing here.",
    "409": "Things are not as the request takes them to be, or one with this Idempotency-Key is still being carried out.",
    "413": "The request is too large.",
    "415": "The body is of a kind that is not understood.",
    "422": "This Idempotency-Key was used for another request.",
    "429": "Too many requests. `Retry-After` says when to come back.",
}


class Problem(serializers.Serializer[Any]):
    """An error: `detail` says what it is, or each faulty field what is wrong with it."""

    detail = serializers.JSONField(required=False)


class ApiSchema(AutoSchema):  # type: ignore[misc]
    def get_operation(self, *args: Any, **kwargs: Any) -> dict[str, Any] | None:
        operation: dict[str, Any] | None = super().get_operation(*args, **kwargs)
        if operation is None:
            return None
        if self._is_idempotent():
            operation.setdefault("parameters", []).append(_KEY)
        self._describe_errors(operation)
        if scope := scope_for(self.view, self.method):
            text = f"An API token needs the scope `{scope}`."
            operation["description"] = "\n\n".join(filter(None, [operation.get("description"), text]))
        return operation

    def map_parsers(self) -> list[str]:
        """Forms are taken as well, for a quick try; what is promised is JSON, but where a view chose its parsers."""
        chosen = "parser_classes" in vars(self.view) or any("parser_classes" in vars(kind) for kind in _own(self.view))
        return super().map_parsers() if chosen else ["application/json"]  # type: ignore[no-any-return]

    def _describe_errors(self, operation: dict[str, Any]) -> None:
        content = {"application/json": {"schema": self.resolve_serializer(Problem, "response").ref}}
        for status in self._possible_errors(operation):
            operation["responses"].setdefault(status, {"description": ERRORS[status], "content": content})
        operation["responses"] = dict(sorted(operation["responses"].items()))

    def _possible_errors(self, operation: dict[str, Any]) -> list[str]:
        possible = ["401", "429"]
        if operation.get("parameters") or self.method in WRITING:
            possible += ["400"]
        if self.get_auth():
            possible += ["403", "404"]
        if self.method in WRITING:
            possible += ["413", "415"]
        if self._is_idempotent():
            possible += ["409", "422"]
        if getattr(self.view, "action", None) in getattr(self.view, "may_conflict", ()):
            possible += ["409"]
        return possible

    def _is_idempotent(self) -> bool:
        handler = getattr(self.view, getattr(self.view, "action", None) or self.method.lower(), None)
        return bool(getattr(handler, "is_idempotent", False))


def _own(view: APIView) -> list[type]:
    """Return the classes of a view that are not the framework's."""
    return [kind for kind in type(view).__mro__ if not kind.__module__.startswith("rest_framework.")]


_KEY = {
    "name": HEADER,
    "in": "header",
    "required": False,
    "description": "A text of your choice. The same request sent with it again, within a day, changes nothing more and is "
    "answered as the first time, with `Idempotent-Replayed: true`.",
    "schema": {"type": "string", "minLength": 1, "maxLength": LONGEST_KEY, "pattern": r"^[\x20-\x7E]+$"},
}
