"""REST: conversations by text message, what was said in them, and sending one."""

from __future__ import annotations

from typing import Any, cast

from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema, extend_schema_view
from rest_framework import exceptions, mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter

from base.text import to_valid
from crm.models.setup import crm_settings
from crm.phones import PhoneError, spellings, to_e164
from telephony.texting.enums import Author
from telephony.texting.models import Conversation, Message
from telephony.texting.services.conversations import mark_read
from telephony.texting.services.limits import own_numbers
from telephony.texting.services.sending import LONGEST, send_later, why_not, write_text
from tenants.enums import Scope
from tenants.idempotency import idempotent
from tenants.models import User
from tenants.pagination import Newest
from tenants.permissions import IsManager
from tenants.strictness import StrictTypesMixin
from thanos.encryption import blind_indexes

BIG = 2**63 - 1


class TextMessageSerializer(serializers.ModelSerializer[Message]):
    direction = serializers.CharField(source="way", help_text="in or out")
    user = serializers.IntegerField(source="user_id", allow_null=True, help_text="Which person wrote it.")
    call = serializers.UUIDField(source="call_id", allow_null=True, help_text="In which call the agent sent it.")
    reason = serializers.CharField(source="refusal", help_text="Why it was not sent, for programs; else empty.")
    problem = serializers.CharField(help_text="What went wrong, for people; else empty.")
    media = serializers.ListField(child=serializers.CharField(), help_text="Types of what came with it.")

    class Meta:
        model = Message
        fields = [
            "id",
            "conversation",
            "direction",
            "author",
            "user",
            "call",
            "text",
            "media",
            "state",
            "error_code",
            "reason",
            "problem",
            "message_sid",
            "segments",
            "created_at",
            "changed_at",
        ]


class TextConversationSerializer(serializers.ModelSerializer[Conversation]):
    number = serializers.CharField(source="other", help_text="The other side: a number, or a word that only sends.")
    contact = serializers.IntegerField(source="contact_id", allow_null=True)
    last_message = TextMessageSerializer(allow_null=True)

    class Meta:
        model = Conversation
        fields = ["id", "own_number", "number", "contact", "is_unread", "last_at", "last_message", "created_at"]


class SendTextSerializer(StrictTypesMixin, serializers.Serializer[Any]):
    to = serializers.CharField(
        max_length=40, help_text="A number; without a country's code it is read as your own country's."
    )
    text = serializers.CharField(max_length=LONGEST, trim_whitespace=True)
    from_number = serializers.CharField(
        max_length=16, required=False, help_text="One of your numbers; not needed while you have one."
    )

    def validate_to(self, text: str) -> str:
        try:
            return to_e164(text, crm_settings().phone_region)
        except PhoneError as error:
            raise serializers.ValidationError(str(error)) from None

    def validate_text(self, text: str) -> str:
        return to_valid(text)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        own = sorted(own_numbers())
        chosen = attrs.get("from_number") or (own[0] if len(own) == 1 else "")
        if chosen not in own:
            known = ", ".join(own) or "none: attach a number first"
            raise serializers.ValidationError({"from_number": f"Name one of your numbers ({known})."})
        return {**attrs, "from_number": chosen}


class RefusedError(exceptions.APIException):
    """Something forbids the text: a wish, a country. Nothing is kept."""

    status_code = status.HTTP_409_CONFLICT
    default_code = "refused"


@extend_schema_view(
    list=extend_schema(
        parameters=[
            OpenApiParameter("number", OpenApiTypes.STR, description="With this number, in E.164 form."),
            OpenApiParameter("contact", {"type": "integer", "minimum": 1, "maximum": BIG}, description="With one contact."),
            OpenApiParameter("unread", OpenApiTypes.BOOL, description="Only those nobody has read."),
        ]
    )
)
class TextViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Conversation]):
    """Conversations by text message, newest first; for owners and admins."""

    serializer_class = TextConversationSerializer
    permission_classes = [IsManager]
    required_scopes = {"read": Scope.TEXTS_READ, "write": Scope.TEXTS_WRITE}
    queryset = Conversation.objects.none()
    lookup_value_regex = "[0-9]{1,18}"

    class pagination_class(Newest):
        ordering = ("-last_at", "-id")

    def get_queryset(self) -> QuerySet[Conversation]:
        if getattr(self, "swagger_fake_view", False):
            return super().get_queryset()
        found: Any = Conversation.objects.select_related("last_message")
        if self.action != "list":
            return found  # type: ignore[no-any-return]
        asked = self.request.query_params
        if number := asked.get("number", ""):
            found = found.filter(other_index__in=[i for form in spellings(number) for i in blind_indexes(form)])
        if contact := asked.get("contact", ""):
            if not (contact.isascii() and contact.isdigit() and len(contact) < 19):
                raise exceptions.ValidationError({"contact": "Enter the id of a contact."})
            found = found.filter(contact=int(contact))
        if unread := asked.get("unread", "").lower():
            if unread not in ("true", "1", "false", "0"):
                raise exceptions.ValidationError({"unread": "Enter true or false."})
            found = found.unread() if unread in ("true", "1") else found
        return found  # type: ignore[no-any-return]

    @extend_schema(
        request=SendTextSerializer,
        responses={
            201: TextMessageSerializer,
            409: OpenApiResponse(OpenApiTypes.OBJECT, "Something forbids it: a wish, a country. `code` says what."),
        },
    )
    @idempotent
    def create(self, request: Request) -> Response:
        """Send a text message. It is answered while it waits; what becomes of it is in the conversation.

        Wishes, limits and the budget are asked again when its turn comes; then it may still be `blocked`, with a reason.
        """
        asked = SendTextSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        to, own_number = asked.validated_data["to"], asked.validated_data["from_number"]
        if (refusal := why_not(own_number=own_number, to=to)) is not None:
            raise RefusedError({"detail": refusal.text, "code": refusal.code})
        message, _ = write_text(
            own_number=own_number,
            to=to,
            text=asked.validated_data["text"],
            author=Author.PROGRAM,
            by=cast("User", request.user),
        )
        send_later(message)
        return Response(TextMessageSerializer(message).data, status=status.HTTP_201_CREATED)

    @extend_schema(responses=TextMessageSerializer(many=True))
    @action(detail=True)
    def messages(self, request: Request, pk: str) -> Response:
        """What was said, newest first."""
        pages = _NewestMessages()
        found = Message.objects.filter(conversation=self.get_object())
        rows = pages.paginate_queryset(found, request, self)
        return pages.get_paginated_response(TextMessageSerializer(rows, many=True).data)

    @extend_schema(request=None, responses={204: None})
    @action(detail=True, methods=["post"])
    def read(self, request: Request, pk: str) -> Response:
        """Note that somebody has read it."""
        mark_read(conversation=self.get_object())
        return Response(status=status.HTTP_204_NO_CONTENT)


class _NewestMessages(Newest):
    ordering = ("-id",)


router = SimpleRouter()
router.register("texts", TextViewSet, basename="text")
