"""REST: agents, documents, questions to the knowledge, and conversations."""

from __future__ import annotations

from typing import Any, cast
from uuid import UUID

from django.http import Http404, HttpResponseBase
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import DefaultRouter

from agents import selectors
from agents.chat import selectors as chat
from agents.chat.models import Conversation, Message
from agents.chat.services import conversations
from agents.chat.services.conversations import ChatError
from agents.chat.views import stream_response
from agents.knowledge.enums import Kind
from agents.knowledge.models import Document
from agents.knowledge.services import documents
from agents.knowledge.services.asking import ask_knowledge
from agents.knowledge.services.documents import DocumentError
from agents.models import Agent, AgentVersion
from tenants.enums import Scope
from tenants.models import Tenant, User
from tenants.parsers import JSONParser, MultiPartParser
from tenants.permissions import IsManager, membership_of
from tenants.strictness import StrictTypesMixin

SCOPES = {"read": Scope.AGENTS_READ, "write": Scope.AGENTS_WRITE}


class AgentSerializer(serializers.ModelSerializer[Agent]):
    is_own = serializers.SerializerMethodField()
    version = serializers.IntegerField(source="published.number", allow_null=True, default=None)

    class Meta:
        model = Agent
        fields = [
            "slug",
            "name",
            "specialty",
            "description",
            "is_own",
            "telephony_only",
            "is_moderator",
            "is_active",
            "version",
        ]

    def get_is_own(self, agent: Agent) -> bool:
        return bool(agent.owner_id == self.context["request"].tenant.pk)


class AgentVersionSerializer(serializers.ModelSerializer[AgentVersion]):
    class Meta:
        model = AgentVersion
        fields = [
            "number",
            "state",
            "prompt",
            "provider",
            "model",
            "temperature",
            "voice",
            "tools",
            "note",
            "created_at",
            "published_at",
        ]


class AgentViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Agent]):
    """Agents that the organisation may use. Versions of its own ones, for owners and admins."""

    serializer_class = AgentSerializer
    required_scopes = SCOPES
    queryset = Agent.objects.none()
    lookup_field = "slug"

    def get_queryset(self) -> Any:
        if getattr(self, "swagger_fake_view", False):
            return super().get_queryset()
        visible = selectors.visible_agents(cast("Tenant", self.request.tenant))  # type: ignore[attr-defined]
        return Agent.objects.filter(pk__in=[agent.pk for agent in visible]).select_related("published")

    @extend_schema(responses=AgentVersionSerializer(many=True))
    @action(detail=True, permission_classes=[IsManager])
    def versions(self, request: Request, slug: str) -> Response:
        agent = self.get_object()
        if agent.owner_id != request.tenant.pk:  # type: ignore[attr-defined]
            raise Http404("not the organisation's own")
        page: Any = self.paginate_queryset(agent.versions.all())  # type: ignore[arg-type]
        return self.get_paginated_response(AgentVersionSerializer(page, many=True).data)


class PairSerializer(serializers.Serializer[Any]):
    question = serializers.CharField(max_length=300)
    answer = serializers.CharField(max_length=5000)


class DocumentSerializer(StrictTypesMixin, serializers.ModelSerializer[Document]):
    text = serializers.CharField(required=False, max_length=2_000_000, write_only=True)
    questions = PairSerializer(many=True, required=False, write_only=True)
    file = serializers.FileField(required=False, write_only=True)

    class Meta:
        model = Document
        fields = [
            "id",
            "title",
            "kind",
            "language",
            "is_active",
            "state",
            "problem",
            "warning",
            "created_at",
            "changed_at",
            "read_at",
            "text",
            "questions",
            "file",
        ]
        read_only_fields = ["kind", "state", "problem", "warning", "created_at", "changed_at", "read_at"]


class FoundSerializer(serializers.Serializer[Any]):
    document = serializers.UUIDField(source="document_id")
    title = serializers.CharField()
    heading = serializers.CharField()
    place = serializers.CharField()
    text = serializers.CharField()
    coverage = serializers.FloatField()
    similarity = serializers.FloatField(allow_null=True)


QUESTION = OpenApiParameter("q", str, required=True, description="The question.")


class DocumentViewSet(viewsets.ModelViewSet[Document]):
    """What agents look up. Give `text`, or `questions`, or a `file`; it is read in the background."""

    serializer_class = DocumentSerializer
    permission_classes = [IsManager]
    parser_classes = [JSONParser, MultiPartParser]
    required_scopes = SCOPES
    queryset = Document.objects.defer("text", "questions")
    http_method_names = ["get", "post", "patch", "delete", "head", "options"]

    def perform_create(self, serializer: serializers.BaseSerializer[Document]) -> None:
        data = dict(serializer.validated_data)
        about = {"title": data["title"], "language": data.get("language", "english"), "by": cast("User", self.request.user)}
        given = [name for name in ("text", "questions", "file") if name in data]
        if len(given) != 1:
            raise serializers.ValidationError({"non_field_errors": ["Give a text, or questions, or a file."]})
        try:
            match given[0]:
                case "text":
                    made = documents.add_text(text=data["text"], **about)
                case "questions":
                    made = documents.add_questions(questions=data["questions"], **about)
                case _:
                    made = documents.add_file(upload=data["file"], **about)
        except DocumentError as error:
            raise serializers.ValidationError({given[0]: [str(error)]}) from None
        serializer.instance = made

    def perform_update(self, serializer: serializers.BaseSerializer[Document]) -> None:
        document = cast("Document", serializer.instance)
        values = dict(serializer.validated_data)
        upload = values.pop("file", None)
        wanted = {Kind.TEXT: "text", Kind.QUESTIONS: "questions"}.get(Kind(document.kind), "file")
        if wrong := [name for name in ("text", "questions") if name in values and name != wanted]:
            raise serializers.ValidationError({wrong[0]: ["This document is of another kind."]})
        try:
            documents.change_document(document=document, values=values, upload=upload)
        except DocumentError as error:
            raise serializers.ValidationError({"non_field_errors": [str(error)]}) from None

    def perform_destroy(self, instance: Document) -> None:
        documents.delete_document(document=instance)

    @extend_schema(parameters=[QUESTION], responses=FoundSerializer(many=True))
    @action(detail=False, pagination_class=None)
    def search(self, request: Request) -> Response:
        question = request.query_params.get("q", "").replace("\0", "").strip()
        if not question or len(question) > 500:
            raise serializers.ValidationError({"q": ["Give a question of up to 500 characters."]})
        return Response(FoundSerializer(ask_knowledge(question=question).found, many=True).data)


class ConversationSerializer(StrictTypesMixin, serializers.ModelSerializer[Conversation]):
    agent = serializers.CharField(source="agent.slug", required=False, allow_null=True, default=None)

    class Meta:
        model = Conversation
        fields = ["id", "title", "agent", "chosen_by", "created_at", "changed_at"]
        read_only_fields = ["title", "chosen_by", "created_at", "changed_at"]


class ChatMessageSerializer(serializers.ModelSerializer[Message]):
    agent = serializers.CharField(source="agent.slug", allow_null=True, default=None)

    class Meta:
        model = Message
        fields = [
            "id",
            "position",
            "author",
            "text",
            "state",
            "problem",
            "agent",
            "version",
            "model",
            "input_tokens",
            "output_tokens",
            "first_word_ms",
            "duration_ms",
            "used",
            "created_at",
            "finished_at",
        ]


class NewMessageSerializer(StrictTypesMixin, serializers.Serializer[Any]):
    text = serializers.CharField(max_length=conversations.MAX_CHARACTERS)


class WhateverIsAccepted(DefaultContentNegotiation):
    """For an answer that streams by itself: errors before it are JSON, whatever the client asks for."""

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        return renderers[0], renderers[0].media_type


@extend_schema_view(create=extend_schema(responses={201: ConversationSerializer}))
class ConversationViewSet(
    mixins.ListModelMixin,
    mixins.RetrieveModelMixin,
    mixins.CreateModelMixin,
    mixins.DestroyModelMixin,
    viewsets.GenericViewSet[Conversation],
):
    """The bearer's own conversations. `messages/` posts one and answers with the message that is being written."""

    serializer_class = ConversationSerializer
    required_scopes = SCOPES
    may_conflict = ("messages", "retry")
    queryset = Conversation.objects.none()

    def get_queryset(self) -> Any:
        if getattr(self, "swagger_fake_view", False):
            return super().get_queryset()
        membership = membership_of(self.request)
        return chat.conversations_of(membership.user).select_related("agent") if membership else super().get_queryset()

    def perform_create(self, serializer: serializers.BaseSerializer[Conversation]) -> None:
        slug = (serializer.validated_data.get("agent") or {}).get("slug")
        tenant = cast("Tenant", self.request.tenant)  # type: ignore[attr-defined]
        agent = chat.agent_to_talk_to(tenant, slug) if slug else None
        if slug and agent is None:
            raise serializers.ValidationError({"agent": ["There is no such agent to talk to."]})
        serializer.instance = conversations.start_conversation(user=cast("User", self.request.user), agent=agent)

    def perform_destroy(self, instance: Conversation) -> None:
        conversations.delete_conversation(conversation=instance)

    @extend_schema(methods=["GET"], responses=ChatMessageSerializer(many=True))
    @extend_schema(methods=["POST"], request=NewMessageSerializer, responses={201: ChatMessageSerializer})
    @action(detail=True, methods=["get", "post"])
    def messages(self, request: Request, pk: str) -> Response:
        conversation = self.get_object()
        if request.method == "GET":
            page: Any = self.paginate_queryset(conversation.messages.select_related("agent"))  # type: ignore[arg-type]
            return self.get_paginated_response(ChatMessageSerializer(page, many=True).data)
        new = NewMessageSerializer(data=request.data)
        new.is_valid(raise_exception=True)
        try:
            answer = conversations.send_message(conversation=conversation, text=new.validated_data["text"])
        except ChatError as error:
            return Response({"detail": str(error)}, status=status.HTTP_409_CONFLICT)
        return Response(ChatMessageSerializer(answer).data, status=status.HTTP_201_CREATED)

    @extend_schema(responses={(200, "text/event-stream"): str})
    @action(
        detail=True,
        url_path=r"messages/(?P<message_id>[0-9a-f-]{36})/stream",
        renderer_classes=[JSONRenderer],
        content_negotiation_class=WhateverIsAccepted,
    )
    def stream(self, request: Request, pk: str, message_id: str) -> HttpResponseBase:
        """Server-sent events: `agent`, `text`, `tool`, and `end`; from the beginning, or after `Last-Event-ID`."""
        message = self._message(message_id)
        after = request.headers.get("Last-Event-ID", "0-0")
        return stream_response(cast("Tenant", request.tenant), message.pk, after)  # type: ignore[attr-defined]

    @extend_schema(request=None, responses=ChatMessageSerializer)
    @action(detail=True, methods=["post"], url_path=r"messages/(?P<message_id>[0-9a-f-]{36})/stop")
    def stop(self, request: Request, pk: str, message_id: str) -> Response:
        message = self._message(message_id)
        conversations.stop_answer(message=message)
        message.refresh_from_db()
        return Response(ChatMessageSerializer(message).data)

    @extend_schema(request=None, responses={201: ChatMessageSerializer})
    @action(detail=True, methods=["post"], url_path=r"messages/(?P<message_id>[0-9a-f-]{36})/retry")
    def retry(self, request: Request, pk: str, message_id: str) -> Response:
        try:
            answer = conversations.retry_answer(message=self._message(message_id))
        except ChatError as error:
            return Response({"detail": str(error)}, status=status.HTTP_409_CONFLICT)
        return Response(ChatMessageSerializer(answer).data, status=status.HTTP_201_CREATED)

    def _message(self, message_id: str) -> Message:
        try:
            wanted = UUID(message_id)
        except ValueError:
            raise Http404("no such message") from None
        return get_object_or_404(self.get_object().messages.select_related("conversation", "agent"), pk=wanted)


router = DefaultRouter()
router.register("agents", AgentViewSet, basename="agent")
router.register("documents", DocumentViewSet, basename="document")
router.register("conversations", ConversationViewSet, basename="conversation")
