"""REST: outgoing webhooks, for owners and admins."""

from __future__ import annotations

from typing import Any, cast

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from crm.hooks.addresses import MAX_URL_LENGTH
from crm.hooks.enums import SUBSCRIBABLE, PauseReason
from crm.hooks.models import WebhookDelivery, WebhookEndpoint
from crm.hooks.services import endpoints as services
from crm.hooks.services.endpoints import HookError
from crm.hooks.services.pausing import pause_endpoint, resume_endpoint
from tenants.enums import Scope
from tenants.models import User
from tenants.permissions import IsManager


class WebhookEndpointSerializer(serializers.ModelSerializer[WebhookEndpoint]):
    url = serializers.CharField(max_length=MAX_URL_LENGTH, help_text="https, reachable from the internet.")
    events = serializers.MultipleChoiceField(choices=[(event.value, event.label) for event in SUBSCRIBABLE])

    class Meta:
        model = WebhookEndpoint
        fields = [
            "id",
            "url",
            "description",
            "events",
            "is_active",
            "paused_at",
            "paused_reason",
            "failing_since",
            "consecutive_failures",
            "last_attempt_at",
            "last_problem",
            "created_at",
            "updated_at",
        ]

    def to_representation(self, instance: WebhookEndpoint) -> dict[str, Any]:
        """In the order they were chosen: a multiple choice is a set to the framework."""
        return {**super().to_representation(instance), "events": list(instance.events)}


class NewWebhookEndpointSerializer(WebhookEndpointSerializer):
    secret = serializers.CharField(read_only=True, help_text="Shown this once: signatures are checked with it.")

    class Meta(WebhookEndpointSerializer.Meta):
        fields = [*WebhookEndpointSerializer.Meta.fields, "secret"]


class SecretSerializer(serializers.Serializer[Any]):
    secret = serializers.CharField(help_text="Shown this once. The one before stays valid for 24 hours.")


class WebhookDeliverySerializer(serializers.ModelSerializer[WebhookDelivery]):
    class Meta:
        model = WebhookDelivery
        fields = [
            "id",
            "event",
            "state",
            "attempts",
            "next_attempt_at",
            "last_status_code",
            "last_problem",
            "duration_ms",
            "created_at",
            "finished_at",
        ]
        read_only_fields = fields


_BODYLESS = extend_schema(request=None, responses=WebhookEndpointSerializer)


@extend_schema_view(create=extend_schema(responses={201: NewWebhookEndpointSerializer}))
class WebhookEndpointViewSet(viewsets.ModelViewSet[WebhookEndpoint]):
    serializer_class = WebhookEndpointSerializer
    permission_classes = [IsManager]
    required_scopes = {"read": Scope.WEBHOOKS_READ, "write": Scope.WEBHOOKS_WRITE}
    queryset = WebhookEndpoint.objects.kept()

    @property
    def _actor(self) -> User:
        return cast("User", self.request.user)

    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        try:
            endpoint = services.create_endpoint(**_values(serializer.validated_data), actor=self._actor)
        except HookError as error:
            raise _refusal(error) from None
        return Response(NewWebhookEndpointSerializer(endpoint).data, status=status.HTTP_201_CREATED)

    def perform_update(self, serializer: serializers.BaseSerializer[WebhookEndpoint]) -> None:
        endpoint = cast("WebhookEndpoint", serializer.instance)
        values = {name: getattr(endpoint, name) for name in ("url", "description", "events", "is_active")}
        values |= _values(serializer.validated_data)
        try:
            services.change_endpoint(endpoint=endpoint, **values, actor=self._actor)
        except HookError as error:
            raise _refusal(error) from None

    def perform_destroy(self, instance: WebhookEndpoint) -> None:
        services.delete_endpoint(endpoint=instance, actor=self._actor)

    @extend_schema(request=None, responses=SecretSerializer)
    @action(detail=True, methods=["post"], url_path="roll-secret")
    def roll_secret(self, request: Request, pk: str) -> Response:
        return Response({"secret": services.roll_secret(endpoint=self.get_object(), actor=self._actor)})

    @_BODYLESS
    @action(detail=True, methods=["post"])
    def pause(self, request: Request, pk: str) -> Response:
        endpoint = self.get_object()
        pause_endpoint(endpoint=endpoint, reason=PauseReason.BY_HAND, actor=self._actor)
        return self._current(endpoint)

    @_BODYLESS
    @action(detail=True, methods=["post"])
    def resume(self, request: Request, pk: str) -> Response:
        endpoint = self.get_object()
        resume_endpoint(endpoint=endpoint, actor=self._actor)
        return self._current(endpoint)

    @extend_schema(request=None, responses={201: WebhookDeliverySerializer})
    @action(detail=True, methods=["post"])
    def test(self, request: Request, pk: str) -> Response:
        try:
            delivery = services.send_test(endpoint=self.get_object())
        except HookError as error:
            raise _refusal(error) from None
        return Response(WebhookDeliverySerializer(delivery).data, status=status.HTTP_201_CREATED)

    @extend_schema(responses=WebhookDeliverySerializer(many=True))
    @action(detail=True)
    def deliveries(self, request: Request, pk: str) -> Response:
        found: QuerySet[WebhookDelivery] = self.get_object().deliveries.defer("payload", "response_excerpt")
        page: Any = self.paginate_queryset(found)  # type: ignore[arg-type]
        return self.get_paginated_response(WebhookDeliverySerializer(page, many=True).data)

    def _current(self, endpoint: WebhookEndpoint) -> Response:
        endpoint.refresh_from_db()
        return Response(self.get_serializer(endpoint).data)


def _values(data: dict[str, Any]) -> dict[str, Any]:
    """A multiple choice arrives as a set; it is kept in the order of the list of events."""
    chosen = data.get("events")
    return data if chosen is None else {**data, "events": [event.value for event in SUBSCRIBABLE if event in chosen]}


def _refusal(error: HookError) -> serializers.ValidationError:
    return serializers.ValidationError({error.field or "non_field_errors": [str(error)]})
