"""REST: calls with what was said and what happened, and the lines that answer them."""

from __future__ import annotations

from copy import copy
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import Prefetch, QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field, extend_schema_view
from rest_framework import mixins, serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import DefaultRouter

from agents.collaboration.models import Collaboration
from agents.models import Agent
from billing.selectors import PartCost
from telephony.forms import MAX_QUERY
from telephony.masking import mask_number, mask_numbers
from telephony.models import Call, CallEvent, CallMessage, Line
from telephony.selectors import consultations_of, written_number
from telephony.services.erasing import StillRunningError, erase_call
from telephony.services.lines import agents_for_lines
from tenants.audit import record
from tenants.enums import AuditAction, Scope
from tenants.permissions import IsManager, membership_of
from tenants.strictness import StrictTypesMixin


class MessageSerializer(serializers.ModelSerializer[CallMessage]):
    heard_text = serializers.CharField(
        read_only=True, help_text="What the caller heard of it, by estimate; all of it unless they interrupted."
    )
    interrupted = serializers.SerializerMethodField(help_text="The caller spoke before it was over.")

    class Meta:
        model = CallMessage
        fields = ["sequence", "role", "text", "heard_text", "interrupted", "spoken_at", "latency"]

    def get_interrupted(self, message: CallMessage) -> bool:
        return message.heard_share is not None


class EventSerializer(serializers.ModelSerializer[CallEvent]):
    detail = serializers.SerializerMethodField()

    class Meta:
        model = CallEvent
        fields = ["sequence", "kind", "at", "detail"]

    @extend_schema_field(OpenApiTypes.OBJECT)
    def get_detail(self, event: CallEvent) -> Any:
        membership = membership_of(self.context["request"])
        return event.detail if membership and membership.can_manage else mask_numbers(event.detail)


class CollaborationSerializer(serializers.ModelSerializer[Collaboration]):
    cost = serializers.SerializerMethodField(help_text="As a decimal number; null while unknown, and for mere members.")
    currency = serializers.SerializerMethodField(help_text="Of the cost; empty while that is unknown.")

    class Meta:
        model = Collaboration
        fields = [
            "id",
            "trigger",
            "complexity",
            "question",
            "stage",
            "outcome",
            "consent_words",
            "agents",
            "answer",
            "worked_ms",
            "input_tokens",
            "output_tokens",
            "cost",
            "currency",
            "started_at",
            "asked_at",
            "consented_at",
            "ended_at",
        ]

    def get_cost(self, collaboration: Collaboration) -> str | None:
        amount = self.context["costs"][collaboration.pk].amount
        return None if amount is None else f"{amount:f}"

    def get_currency(self, collaboration: Collaboration) -> str:
        return self.context["costs"][collaboration.pk].currency  # type: ignore[no-any-return]


class CallSerializer(serializers.ModelSerializer[Call]):
    from_number = serializers.SerializerMethodField()
    to_number = serializers.CharField()
    agent = serializers.CharField(source="agent.slug", allow_null=True, default=None)
    agent_version = serializers.IntegerField(source="agent_version.number", allow_null=True, default=None)
    ended_reason = serializers.CharField(allow_blank=True)
    fault = serializers.CharField(allow_null=True)
    summary = serializers.CharField(allow_blank=True)
    messages = MessageSerializer(many=True)
    events = EventSerializer(many=True)

    class Meta:
        model = Call
        fields = [
            "id",
            "call_sid",
            "direction",
            "from_number",
            "to_number",
            "line",
            "status",
            "engine",
            "agent",
            "agent_version",
            "started_at",
            "answered_at",
            "ended_at",
            "duration_s",
            "ended_reason",
            "fault",
            "summary",
            "summary_status",
            "erased_at",
            "messages",
            "events",
        ]

    def get_from_number(self, call: Call) -> str:
        membership = membership_of(self.context["request"])
        return call.from_number if membership and membership.can_manage else mask_number(call.from_number)


FILTERS = [
    OpenApiParameter("call_sid", OpenApiTypes.STR, description="One call, by the carrier's SID."),
    OpenApiParameter("status", OpenApiTypes.STR, description="Such as in-progress or completed."),
    OpenApiParameter("number", OpenApiTypes.STR, description="Calls from or to this number, in any spelling."),
    OpenApiParameter("q", OpenApiTypes.STR, description="Calls in which these words were said."),
]


@extend_schema_view(list=extend_schema(parameters=FILTERS))
class CallViewSet(
    mixins.ListModelMixin, mixins.RetrieveModelMixin, mixins.DestroyModelMixin, viewsets.GenericViewSet[Call]
):
    serializer_class = CallSerializer
    required_scopes = {"read": Scope.CALLS_READ, "write": Scope.CALLS_WRITE}
    queryset = Call.objects.none()

    def get_queryset(self) -> QuerySet[Call]:
        if getattr(self, "swagger_fake_view", False):
            return super().get_queryset()
        params = self.request.query_params
        calls: Any = Call.objects.select_related("agent", "agent_version")
        for name in ("call_sid", "status"):
            if value := params.get(name, "").replace("\0", ""):
                calls = calls.filter(**{name: value})
        if number := params.get("number"):
            calls = calls.with_number(written_number(number))
        if text := params.get("q"):
            if len(text) > MAX_QUERY:
                raise serializers.ValidationError({"q": f"Search for at most {MAX_QUERY} characters."})
            calls = calls.with_words(text)
        messages = Prefetch("messages", CallMessage.objects.order_by("sequence"))
        return calls.prefetch_related(messages, "events")  # type: ignore[no-any-return]

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        response = super().list(request, *args, **kwargs)
        if request.query_params.get("call_sid"):  # asked for one call: looked at it
            for call in response.data["results"]:
                self._note_view(call["id"])
        return response

    def get_object(self) -> Call:
        call = super().get_object()
        self._note_view(call.pk)
        return call

    @extend_schema(responses={204: None, 409: OpenApiTypes.OBJECT})
    def destroy(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Erase what was said, recorded and noted, and who it was. The call's cost stays. For owners and admins."""
        call = super().get_object()
        try:
            erased = erase_call(call=call)
        except StillRunningError as error:
            return Response({"detail": str(error)}, status=409)
        if erased:
            tenant, actor = request.tenant, request.user  # type: ignore[attr-defined]
            record(AuditAction.CALL_ERASED, tenant=tenant, actor=actor, target=f"call {call.pk}")  # type: ignore[arg-type]
        return Response(status=204)

    def _note_view(self, pk: object) -> None:
        tenant, actor = self.request.tenant, self.request.user  # type: ignore[attr-defined]
        record(AuditAction.CALL_VIEWED, tenant=tenant, actor=actor, target=f"call {pk}")  # type: ignore[arg-type]

    @extend_schema(responses=MessageSerializer(many=True))
    @action(detail=True, pagination_class=None, filter_backends=[])
    def messages(self, request: Request, pk: str) -> Response:
        return Response(MessageSerializer(self.get_object().messages.all(), many=True).data)

    @extend_schema(responses=EventSerializer(many=True))
    @action(detail=True, pagination_class=None, filter_backends=[])
    def events(self, request: Request, pk: str) -> Response:
        events = self.get_object().events.all()
        return Response(EventSerializer(events, many=True, context=self.get_serializer_context()).data)

    @extend_schema(responses=CollaborationSerializer(many=True))
    @action(detail=True, pagination_class=None, filter_backends=[])
    def collaborations(self, request: Request, pk: str) -> Response:
        """Specialists who joined, or were to: what is going on now, and what came of it."""
        found = consultations_of(self.get_object(), request.tenant)  # type: ignore[attr-defined]
        membership = membership_of(request)
        is_told = membership is not None and membership.can_manage
        costs = {one.record.pk: one.cost if is_told else PartCost("", None) for one in found}
        records = [one.record for one in found]
        return Response(CollaborationSerializer(records, many=True, context={"costs": costs}).data)


class LineSerializer(StrictTypesMixin, serializers.ModelSerializer[Line]):
    agent = serializers.SlugRelatedField(
        slug_field="slug", queryset=Agent.objects.none(), allow_null=True, required=False, help_text="Of the catalogue."
    )
    variables = serializers.DictField(child=serializers.CharField(allow_blank=True), required=False)

    def get_fields(self) -> dict[str, Any]:
        fields = super().get_fields()
        tenant = getattr(self.context.get("request"), "tenant", None)
        if tenant is not None:
            mine = [agent.pk for agent in agents_for_lines(tenant)]
            choice: Any = fields["agent"]
            choice.queryset = Agent.objects.filter(pk__in=mine)
        return fields

    class Meta:
        model = Line
        exclude = ["updated_at"]
        read_only_fields = ["phone_number", "is_default"]

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """What the form refuses, the API refuses: faults between fields are the model's to find."""
        line = copy(self.instance) if isinstance(self.instance, Line) else Line()
        for name, value in attrs.items():
            setattr(line, name, value)
        try:
            line.clean()
        except ValidationError as error:
            raise serializers.ValidationError(error.message_dict) from None
        return attrs


class LineViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, mixins.UpdateModelMixin, viewsets.GenericViewSet[Line]):
    """For owners and admins: a line holds prompts and people's numbers."""

    serializer_class = LineSerializer
    permission_classes = [IsManager]
    required_scopes = {"read": Scope.LINES_READ, "write": Scope.LINES_WRITE}
    queryset = Line.objects.select_related("agent")

    def perform_update(self, serializer: serializers.BaseSerializer[Line]) -> None:
        line = serializer.save()
        tenant, actor = self.request.tenant, self.request.user  # type: ignore[attr-defined]
        record(AuditAction.LINE_CHANGED, tenant=tenant, actor=actor, target=f"line {line.pk}")  # type: ignore[arg-type]


router = DefaultRouter()
router.include_root_view = False
router.register("calls", CallViewSet, basename="call")
router.register("lines", LineViewSet, basename="line")
