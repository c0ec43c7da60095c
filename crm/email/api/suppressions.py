"""REST: addresses nobody of the organisation writes to; for owners and admins."""

from __future__ import annotations

from typing import Any, cast

from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from crm.email.enums import SuppressionReason
from crm.email.models import Suppression
from crm.email.services.suppressing import lift, suppress
from tenants.enums import Scope
from tenants.idempotency import idempotent
from tenants.models import User
from tenants.permissions import IsManager
from tenants.strictness import StrictTypesMixin

BY_HAND = (SuppressionReason.PERSON, SuppressionReason.UNSUBSCRIBED)


class SuppressionSerializer(StrictTypesMixin, serializers.ModelSerializer[Suppression]):
    email = serializers.EmailField(max_length=254)
    reason = serializers.ChoiceField(
        choices=SuppressionReason.choices, default=SuppressionReason.PERSON, help_text="To add one: person or unsubscribed."
    )

    class Meta:
        model = Suppression
        fields = ["id", "email", "reason", "detail", "message", "created_at"]
        read_only_fields = ["id", "detail", "message", "created_at"]

    def validate_reason(self, reason: str) -> str:
        if reason not in BY_HAND:
            raise serializers.ValidationError("Bounces, and reports of spam, are noted by events alone.")
        return reason


class AddressSerializer(serializers.Serializer[Any]):
    email = serializers.EmailField(max_length=254)


@extend_schema_view(
    list=extend_schema(parameters=[OpenApiParameter("email", OpenApiTypes.EMAIL, description="This whole address.")])
)
class SuppressionViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Suppression]):
    """What stands. Deleting one lifts it: the address can be written to again, unless another reason stands."""

    serializer_class = SuppressionSerializer
    permission_classes = [IsManager]
    required_scopes = {"read": Scope.EMAIL_READ, "write": Scope.EMAIL_WRITE}
    queryset = Suppression.objects.none()
    lookup_value_regex = "[0-9]{1,18}"

    def get_queryset(self) -> QuerySet[Suppression]:
        if getattr(self, "swagger_fake_view", False):
            return super().get_queryset()
        standing = Suppression.objects.standing()
        asked = self.request.query_params
        if self.action != "list" or "email" not in asked:
            return standing  # type: ignore[no-any-return]
        wanted = AddressSerializer(data={"email": asked["email"]})
        wanted.is_valid(raise_exception=True)
        return standing.for_address(wanted.validated_data["email"])  # type: ignore[no-any-return]

    @idempotent
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Put an address on the list. One that is there for this reason is answered with 200."""
        asked = self.get_serializer(data=request.data)
        asked.is_valid(raise_exception=True)
        address, reason = asked.validated_data["email"], asked.validated_data["reason"]
        is_new = suppress(address=address, reason=reason, by=cast("User", request.user))
        found = Suppression.objects.standing().for_address(address).get(reason=reason)
        code = status.HTTP_201_CREATED if is_new else status.HTTP_200_OK
        return Response(self.get_serializer(found).data, status=code)

    def destroy(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        lift(suppression=self.get_object(), by=cast("User", request.user))
        return Response(status=status.HTTP_204_NO_CONTENT)
