"""Custom fields and saved views."""

from __future__ import annotations

from copy import copy
from typing import Any

from django.core.exceptions import ValidationError
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from crm.contactfields import FIELDS
from crm.forms.settings import RESERVED, free_key
from crm.models import CustomField, SavedView
from crm.services.fields import change_field, effect_of, save_field
from tenants.enums import Scope
from tenants.idempotency import IdempotentCreateMixin, idempotent
from tenants.pagination import Newest
from tenants.permissions import IsManager
from tenants.strictness import StrictTypesMixin


class CustomFieldSerializer(StrictTypesMixin, serializers.ModelSerializer[CustomField]):
    key = serializers.RegexField(r"^[a-z][a-z0-9_]*$", max_length=40, required=False)
    options = serializers.ListField(child=serializers.CharField(max_length=200), required=False, max_length=200)
    default: Any = serializers.JSONField(required=False, allow_null=True)

    class Meta:
        model = CustomField
        fields = [
            "id",
            "key",
            "label",
            "type",
            "options",
            "is_required",
            "is_active",
            "help_text",
            "default",
            "position",
            "created_at",
        ]

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if self.instance is not None:
            attrs.pop("key", None)  # what values are kept under does not change
        else:
            attrs["key"] = key = attrs.get("key") or free_key(attrs["label"])
            if key in FIELDS or key in RESERVED or CustomField.objects.filter(key=key).exists():
                raise serializers.ValidationError({"key": ["This key is taken."]})
        field = copy(self.instance) if isinstance(self.instance, CustomField) else CustomField()
        for name, value in attrs.items():
            setattr(field, name, value)
        try:
            field.clean()
        except ValidationError as error:
            raise serializers.ValidationError(error.message_dict) from None
        return {**attrs, "options": field.options, "default": field.default}


class EffectSerializer(serializers.Serializer[Any]):
    detail = serializers.CharField()
    total = serializers.IntegerField()
    kept = serializers.IntegerField()
    converted = serializers.IntegerField()
    lost = serializers.IntegerField()
    examples = serializers.ListField(child=serializers.CharField())


_CONFIRM = OpenApiParameter("confirm", OpenApiTypes.BOOL, description="Change the field although values would be lost.")


class CustomFieldViewSet(
    mixins.ListModelMixin,
    mixins.RetrieveModelMixin,
    mixins.UpdateModelMixin,
    IdempotentCreateMixin,
    viewsets.GenericViewSet[CustomField],
):
    """Fields a tenant added. They are switched off with `is_active` rather than deleted: values may depend on them."""

    serializer_class = CustomFieldSerializer
    permission_classes = [IsManager]
    required_scopes = {"read": Scope.SETTINGS_READ, "write": Scope.SETTINGS_WRITE}
    queryset = CustomField.objects.all()
    pagination_class = None
    http_method_names = ["get", "post", "patch", "head", "options"]

    def perform_create(self, serializer: serializers.BaseSerializer[CustomField]) -> None:
        serializer.instance = save_field(field=CustomField(**serializer.validated_data))

    @extend_schema(parameters=[_CONFIRM], responses={200: CustomFieldSerializer, 409: EffectSerializer})
    def partial_update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        old = self.get_object()
        serializer = self.get_serializer(old, data=request.data, partial=True)
        serializer.is_valid(raise_exception=True)
        new = copy(old)
        for name, value in serializer.validated_data.items():
            setattr(new, name, value)
        if (old.type, old.options) == (new.type, new.options):
            return Response(self.get_serializer(save_field(field=new)).data)
        effect = effect_of(old=old, new=new)
        if effect.lost and request.query_params.get("confirm") not in ("true", "1"):
            data = {"detail": "Values would be lost: send `confirm=true` to go on.", **_plain(effect)}
            return Response(data, status=status.HTTP_409_CONFLICT)
        return Response(self.get_serializer(change_field(old=old, new=new)).data)


def _plain(effect: Any) -> dict[str, Any]:
    return {name: getattr(effect, name) for name in ("total", "kept", "converted", "lost", "examples")}


class SavedViewSerializer(StrictTypesMixin, serializers.ModelSerializer[SavedView]):
    layout = serializers.ChoiceField(choices=["table", "cards", "board"], default="table")

    class Meta:
        model = SavedView
        fields = ["id", "name", "query", "layout", "is_shared", "created_at"]

    def validate_name(self, name: str) -> str:
        mine = SavedView.objects.filter(user=self.context["request"].user, name=name)
        if mine.exclude(pk=self.instance.pk if isinstance(self.instance, SavedView) else None).exists():  # type: ignore[misc]
            raise serializers.ValidationError("Another view of yours is called that already.")
        return name


class SavedViewViewSet(viewsets.ModelViewSet[SavedView]):
    """One's own views, and those that are shared, which only their owner can change."""

    serializer_class = SavedViewSerializer
    permission_classes = [IsManager]
    required_scopes = {"read": Scope.SETTINGS_READ, "write": Scope.SETTINGS_WRITE}
    queryset = SavedView.objects.none()
    pagination_class = Newest
    http_method_names = ["get", "post", "patch", "delete", "head", "options"]

    def get_queryset(self) -> Any:
        if getattr(self, "swagger_fake_view", False):
            return SavedView.objects.none()
        if self.request.method in ("GET", "HEAD"):
            return SavedView.visible_to(self.request.user)
        return SavedView.objects.filter(user=self.request.user)  # type: ignore[misc]

    @idempotent
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().create(request, *args, **kwargs)

    def perform_create(self, serializer: serializers.BaseSerializer[SavedView]) -> None:
        serializer.save(user=self.request.user)
