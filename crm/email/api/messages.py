"""REST: what was written to whom, and what became of it; for owners and admins."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import exceptions, serializers, viewsets

from crm.email.enums import MessageState
from crm.email.models import EmailMessage
from tenants.enums import Scope
from tenants.pagination import Newest
from tenants.permissions import IsManager


class EmailMessageSerializer(serializers.ModelSerializer[EmailMessage]):
    to_email = serializers.CharField()
    to_name = serializers.CharField()
    subject = serializers.CharField(help_text="Of a letter written by hand; a template's is in its version.")

    class Meta:
        model = EmailMessage
        fields = [
            "id",
            "mailing",
            "contact",
            "to_email",
            "to_name",
            "from_email",
            "from_name",
            "subject",
            "state",
            "skip_reason",
            "error",
            "not_before",
            "queued_at",
            "sent_at",
            "delivered_at",
            "opened_at",
            "clicked_at",
            "bounced_at",
            "spam_at",
            "unsubscribed_at",
            "replied_at",
        ]
        read_only_fields = fields


class NewestMessages(Newest):
    ordering = ("-queued_at", "-id")


class InMailing(Newest):
    ordering = ("id",)  # a mailing's messages are read by the index of their ids


FILTERS = [
    OpenApiParameter("contact", OpenApiTypes.INT, description="To this contact."),
    OpenApiParameter("mailing", OpenApiTypes.INT, description="Of this mailing."),
    OpenApiParameter("state", OpenApiTypes.STR, enum=MessageState.values),
]


@extend_schema_view(list=extend_schema(parameters=FILTERS))
class EmailMessageViewSet(viewsets.ReadOnlyModelViewSet[EmailMessage]):
    serializer_class = EmailMessageSerializer
    permission_classes = [IsManager]
    required_scopes = {"read": Scope.EMAIL_READ, "write": Scope.EMAIL_WRITE}
    pagination_class = NewestMessages
    queryset = EmailMessage.objects.none()
    lookup_value_regex = "[0-9a-f-]{36}"

    def get_queryset(self) -> QuerySet[EmailMessage]:
        if getattr(self, "swagger_fake_view", False):
            return super().get_queryset()
        found: QuerySet[EmailMessage] = EmailMessage.objects.defer("values", "html", "text")
        if self.action != "list":
            return found
        return found.filter(**self._conditions())

    def _conditions(self) -> dict[str, Any]:
        asked = self.request.query_params
        conditions: dict[str, Any] = {}
        for name in ("contact", "mailing"):
            if name in asked:
                conditions[name] = _id(name, asked[name])
        if "state" in asked:
            if asked["state"] not in MessageState.values:
                raise exceptions.ValidationError({"state": ["There is no such state."]})
            conditions["state"] = asked["state"]
        return conditions

    @property
    def paginator(self) -> Any:
        if not hasattr(self, "_paginator"):
            kind = InMailing if "mailing" in self.request.query_params else NewestMessages
            self._paginator = kind()
        return self._paginator


def _id(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise exceptions.ValidationError({name: ["Must be an id."]})
    return int(text)
