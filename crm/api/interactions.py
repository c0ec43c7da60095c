"""What happened with contacts, and what is to be done."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import exceptions, mixins, serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from crm.enums import TASK_KINDS, InteractionKind
from crm.fieldtypes import FieldError, parse_moment
from crm.models import Attachment, Contact, Interaction
from crm.selectors.people import people_of
from crm.selectors.timeline import tasks
from crm.services.interactions import add_interaction, delete_interaction, set_task_done, update_interaction
from crm.views.today import today_of
from tenants.enums import Scope
from tenants.idempotency import IdempotentCreateMixin
from tenants.models import User
from tenants.pagination import Newest
from tenants.permissions import IsManager
from tenants.strictness import StrictTypesMixin

BIG = 2**63 - 1


def _reckonable(at: datetime) -> datetime:
    try:
        return parse_moment(at)
    except FieldError as error:
        raise serializers.ValidationError(str(error).capitalize() + ".") from None


class AttachmentSerializer(serializers.ModelSerializer[Attachment]):
    class Meta:
        model = Attachment
        fields = ["id", "name", "content_type", "size", "created_at"]


class InteractionSerializer(StrictTypesMixin, serializers.ModelSerializer[Interaction]):
    contact: Any = serializers.PrimaryKeyRelatedField(
        queryset=Contact.objects.none(),
        pk_field=serializers.IntegerField(min_value=1, max_value=BIG),
        required=False,
        allow_null=True,
        help_text="Needed for all but tasks and follow-ups. A task without one can be given one later.",
    )
    content = serializers.CharField(max_length=100_000, required=False, allow_blank=True)
    user = serializers.IntegerField(source="user_id", required=False, allow_null=True, help_text="Who did it, or is to.")
    metadata = serializers.DictField(read_only=True)
    attachments = AttachmentSerializer(many=True, read_only=True)

    class Meta:
        model = Interaction
        fields = [
            "id",
            "contact",
            "kind",
            "subject",
            "content",
            "interaction_date",
            "user",
            "metadata",
            "due_on",
            "done_at",
            "remind_at",
            "attachments",
            "created_at",
            "updated_at",
        ]
        read_only_fields = ["done_at", "created_at", "updated_at"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not getattr(self.context.get("view"), "swagger_fake_view", False):
            self.fields["contact"].queryset = Contact.objects.live()  # type: ignore[attr-defined]

    def validate_contact(self, contact: Contact | None) -> Contact | None:
        known = self.instance.contact_id if isinstance(self.instance, Interaction) else None
        if known is not None and (contact is None or known != contact.pk):
            raise serializers.ValidationError("An entry stays with its contact.")
        return contact

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        kind = attrs.get("kind", self.instance.kind if isinstance(self.instance, Interaction) else InteractionKind.NOTE)
        contact = attrs.get("contact", self.instance.contact_id if isinstance(self.instance, Interaction) else None)
        if contact is None and kind not in TASK_KINDS:
            raise serializers.ValidationError({"contact": ["Only tasks and follow-ups can be without a contact."]})
        return attrs

    def validate_interaction_date(self, at: datetime) -> datetime:
        return _reckonable(at)

    def validate_remind_at(self, at: datetime | None) -> datetime | None:
        return at and _reckonable(at)

    def validate_user(self, user_id: int | None) -> int | None:
        if user_id is not None and user_id not in {user.pk for user in people_of(self.context["request"].tenant)}:
            raise serializers.ValidationError("Nobody who manages contacts here has this id.")
        return user_id


@extend_schema_view(
    list=extend_schema(
        parameters=[
            OpenApiParameter("contact", {"type": "integer", "minimum": 1, "maximum": BIG}, description="Of one contact."),
            OpenApiParameter("kind", OpenApiTypes.STR, enum=list(InteractionKind.values)),
        ]
    )
)
class InteractionViewSet(IdempotentCreateMixin, viewsets.ModelViewSet[Interaction]):
    serializer_class = InteractionSerializer
    permission_classes = [IsManager]
    required_scopes = {"read": Scope.INTERACTIONS_READ, "write": Scope.INTERACTIONS_WRITE}
    queryset = Interaction.objects.none()
    lookup_value_regex = "[0-9]{1,18}"
    http_method_names = ["get", "post", "patch", "delete", "head", "options"]

    class pagination_class(Newest):
        ordering = ("-interaction_date", "-id")

    def get_queryset(self) -> QuerySet[Interaction]:
        if getattr(self, "swagger_fake_view", False):
            return super().get_queryset()
        entries: Any = Interaction.objects.filter(contact__deleted_at=None).prefetch_related("attachments")
        contact, kind = (self.request.query_params.get(name, "") for name in ("contact", "kind"))
        if "contact" in self.request.query_params:
            if not (contact.isascii() and contact.isdigit() and len(contact) < 19 and int(contact) > 0):
                raise exceptions.ValidationError({"contact": ["Must be the id of a contact."]})
            entries = entries.filter(contact=int(contact))
        if "kind" in self.request.query_params:
            if kind not in InteractionKind.values:
                raise exceptions.ValidationError({"kind": [f"Must be one of: {', '.join(InteractionKind.values)}."]})
            entries = entries.filter(kind=kind)
        return entries  # type: ignore[no-any-return]

    def perform_create(self, serializer: serializers.BaseSerializer[Interaction]) -> None:
        data = dict(serializer.validated_data)
        user_id = data.pop("user_id", self.request.user.pk)
        serializer.instance = add_interaction(
            contact=data.get("contact"),
            kind=data.get("kind", InteractionKind.NOTE),
            subject=data.get("subject", ""),
            content=data.get("content", ""),
            by=User.objects.filter(pk=user_id).first() if user_id else None,
            at=data.get("interaction_date"),
            due_on=data.get("due_on"),
            remind_at=data.get("remind_at"),
        )

    def perform_update(self, serializer: serializers.BaseSerializer[Interaction]) -> None:
        assert serializer.instance is not None  # there is something to update
        values = dict(serializer.validated_data)
        serializer.instance = update_interaction(interaction=serializer.instance, values=values)

    def perform_destroy(self, instance: Interaction) -> None:
        delete_interaction(interaction=instance)

    @extend_schema(request=None, responses={200: InteractionSerializer, 400: OpenApiTypes.OBJECT})
    @action(detail=True, methods=["post"])
    def complete(self, request: Request, pk: int) -> Response:
        """Tick a task off."""
        return self._set_done(True)

    @extend_schema(request=None, responses={200: InteractionSerializer, 400: OpenApiTypes.OBJECT})
    @action(detail=True, methods=["post"])
    def reopen(self, request: Request, pk: int) -> Response:
        """Open a task again."""
        return self._set_done(False)

    def _set_done(self, done: bool) -> Response:
        entry = self.get_object()
        if entry.kind not in TASK_KINDS:
            raise exceptions.ValidationError({"detail": ["Only tasks and follow-ups are ticked off."]})
        set_task_done(interaction=entry, done=done)
        entry.refresh_from_db()
        return Response(self.get_serializer(entry).data)


_TASK_CHOICES = {"when": ["all", "overdue", "today", "later"], "whose": ["everybody", "mine"]}


@extend_schema_view(
    list=extend_schema(
        parameters=[
            OpenApiParameter("when", OpenApiTypes.STR, enum=_TASK_CHOICES["when"]),
            OpenApiParameter("whose", OpenApiTypes.STR, enum=_TASK_CHOICES["whose"], description="Default: everybody."),
        ]
    )
)
class TaskViewSet(mixins.ListModelMixin, viewsets.GenericViewSet[Interaction]):
    """Open tasks and follow-ups. They are made, changed and ticked off as interactions."""

    serializer_class = InteractionSerializer
    permission_classes = [IsManager]
    required_scopes = {"read": Scope.INTERACTIONS_READ}
    queryset = Interaction.objects.none()

    class pagination_class(Newest):
        ordering = ("due_on", "id")

    def get_queryset(self) -> QuerySet[Interaction]:
        if getattr(self, "swagger_fake_view", False):
            return super().get_queryset()
        params = self.request.query_params
        for name, allowed in _TASK_CHOICES.items():
            if params.get(name, allowed[0]) not in allowed:
                raise exceptions.ValidationError({name: [f"Must be one of: {', '.join(allowed)}."]})
        user = self.request.user if params.get("whose") == "mine" else None
        today = today_of(self.request.tenant)  # type: ignore[attr-defined]
        return tasks(chosen=params.get("when", "all"), user=user, today=today).prefetch_related("attachments")  # type: ignore[arg-type]
