"""REST: e-mail to many, for owners and admins. The same rules as on the pages."""

from __future__ import annotations

from typing import Any, cast

from django.db.models import QuerySet
from django.http import QueryDict
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import exceptions, mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from crm.email.enums import MailingState, PauseReason, SendWhen
from crm.email.models import EmailTemplate, Mailing
from crm.email.providers.registry import reports_events
from crm.email.selectors.reports import figures
from crm.email.services import mailings as services
from crm.email.services.audiences import audience_of
from crm.email.services.mailings import MailingError
from crm.email.services.settling import resend_unknown
from crm.filters import clean_query
from crm.models import SavedView
from crm.selectors.contacts import FilterError
from tenants.enums import Scope
from tenants.idempotency import idempotent
from tenants.models import User
from tenants.pagination import Newest
from tenants.permissions import IsManager
from tenants.strictness import StrictTypesMixin

LARGEST_ID = 2**63 - 1


class MailingConflictError(exceptions.APIException):
    status_code = status.HTTP_409_CONFLICT
    default_code = "conflict"


class MailingSerializer(serializers.ModelSerializer[Mailing]):
    template = serializers.IntegerField(source="version.template_id")
    version = serializers.IntegerField(source="version.number", help_text="Of the template: fixed when it is started.")

    class Meta:
        model = Mailing
        fields = [
            "id",
            "name",
            "template",
            "version",
            "query",
            "skip_empty_values",
            "when",
            "send_at",
            "state",
            "pause_reason",
            "error",
            "from_email",
            "from_name",
            "reply_to",
            "created_at",
            "started_at",
            "prepared_at",
            "finished_at",
        ]
        read_only_fields = fields


class FiguresSerializer(serializers.Serializer[Any]):
    """null is unknown: not every way of sending reports what becomes of messages."""

    recipients = serializers.IntegerField()
    skipped = serializers.IntegerField()
    waiting = serializers.IntegerField()
    handed_over = serializers.IntegerField()
    delivered = serializers.IntegerField(allow_null=True)
    opened = serializers.IntegerField(allow_null=True, help_text="An estimate: mail programs hide and invent opens.")
    clicked = serializers.IntegerField(allow_null=True)
    bounced = serializers.IntegerField(allow_null=True)
    spam = serializers.IntegerField(allow_null=True)
    unsubscribed = serializers.IntegerField()
    replied = serializers.IntegerField(allow_null=True)
    states = serializers.DictField(child=serializers.IntegerField())


class MailingDetailSerializer(MailingSerializer):
    figures = serializers.SerializerMethodField(help_text="null before it is prepared.")

    class Meta(MailingSerializer.Meta):
        fields = [*MailingSerializer.Meta.fields, "contact_ids", "figures"]
        read_only_fields = fields

    @extend_schema_field(FiguresSerializer(allow_null=True))
    def get_figures(self, mailing: Mailing) -> dict[str, Any] | None:
        return FiguresSerializer(figures(mailing)).data if mailing.prepared_at else None


class NewMailingSerializer(StrictTypesMixin, serializers.Serializer[Any]):
    """The recipients are one of `contact_ids`, `query` and `view`."""

    name = serializers.CharField(max_length=120)
    template = serializers.IntegerField(min_value=1, max_value=LARGEST_ID)
    contact_ids = serializers.ListField(
        child=serializers.IntegerField(min_value=1, max_value=LARGEST_ID), required=False, max_length=services.MAX_IDS
    )
    query = serializers.CharField(
        max_length=2000, required=False, allow_blank=True, help_text="Filters as for `/contacts/`; empty for all contacts."
    )
    view = serializers.IntegerField(required=False, min_value=1, max_value=LARGEST_ID, help_text="A saved view.")
    skip_empty_values = serializers.BooleanField(default=True)

    def validate(self, data: dict[str, Any]) -> dict[str, Any]:
        if len({"contact_ids", "query", "view"} & set(data)) != 1:
            raise serializers.ValidationError("Say who receives it: exactly one of contact_ids, query and view.")
        return data


class StartMailingSerializer(StrictTypesMixin, serializers.Serializer[Any]):
    when = serializers.ChoiceField(choices=SendWhen.choices, default=SendWhen.NOW)
    send_at = serializers.DateTimeField(required=False, allow_null=True, default=None)


class AudienceSerializer(serializers.Serializer[Any]):
    total = serializers.IntegerField()
    receiving = serializers.IntegerField()
    left_out = serializers.DictField(child=serializers.IntegerField(), help_text="By reason.")


_BODYLESS = extend_schema(request=None, responses=MailingDetailSerializer)


class LatestMailings(Newest):
    ordering = ("-id",)


class MailingViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Mailing]):
    serializer_class = MailingSerializer
    permission_classes = [IsManager]
    required_scopes = {"read": Scope.EMAIL_READ, "write": Scope.EMAIL_WRITE}
    pagination_class = LatestMailings
    queryset = Mailing.objects.none()
    may_conflict = ("destroy", "start", "audience", "pause", "resume", "cancel", "resend")
    lookup_value_regex = "[0-9]{1,18}"

    def get_queryset(self) -> QuerySet[Mailing]:
        if getattr(self, "swagger_fake_view", False):
            return super().get_queryset()
        found: QuerySet[Mailing] = Mailing.objects.select_related("version__template").defer(
            "version__html", "version__text"
        )
        return found.defer("contact_ids") if self.action == "list" else found

    def get_serializer_class(self) -> Any:
        return MailingSerializer if self.action == "list" else MailingDetailSerializer

    @property
    def _actor(self) -> User:
        return cast("User", self.request.user)

    @extend_schema(request=NewMailingSerializer, responses={201: MailingDetailSerializer})
    @idempotent
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Make a draft. Nothing is sent before it is started."""
        asked = NewMailingSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        values = dict(asked.validated_data)
        skip = values.pop("skip_empty_values")
        try:
            mailing = services.create_mailing(**self._recipients(values), by=self._actor)
            if not skip:
                mailing = services.change_mailing(mailing=mailing, skip_empty_values=False)
        except MailingError as error:
            raise _refusal(error) from None
        headers = {"Location": request.build_absolute_uri(f"/api/v1/mailings/{mailing.pk}/")}
        return Response(self.get_serializer(mailing).data, status=status.HTTP_201_CREATED, headers=headers)

    def _recipients(self, values: dict[str, Any]) -> dict[str, Any]:
        template = EmailTemplate.objects.usable().filter(pk=values["template"]).first()
        if template is None:
            raise exceptions.ValidationError({"template": ["There is no such template, or it is switched off."]})
        query = values.get("query", "")
        if "view" in values:
            view = SavedView.visible_to(self._actor).filter(pk=values["view"]).first()
            if view is None:
                raise exceptions.ValidationError({"view": ["There is no such view."]})
            query = view.query
        chosen = {"name": values["name"], "template": template, "contact_ids": values.get("contact_ids")}
        return {**chosen, "query": clean_query(QueryDict(query))}

    def destroy(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Delete a draft. What has been started stays on record."""
        try:
            services.delete_mailing(mailing=self.get_object(), by=self._actor)
        except MailingError as error:
            raise MailingConflictError(str(error)) from None
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(request=StartMailingSerializer, responses=MailingDetailSerializer)
    @action(detail=True, methods=["post"])
    @idempotent
    def start(self, request: Request, pk: str) -> Response:
        """Send it now, at a time, or in each recipient's morning of a day."""
        asked = StartMailingSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        mailing = self.get_object()
        self._check_start(mailing)
        try:
            services.start_mailing(mailing=mailing, **asked.validated_data, by=self._actor)
        except MailingError as error:
            raise _refusal(error) from None
        return self._current(mailing)

    def _check_start(self, mailing: Mailing) -> None:
        if mailing.state != MailingState.DRAFT:
            raise MailingConflictError("It has been started already.")
        if reports_events() is None:
            raise MailingConflictError("No way of sending is configured on this installation.")
        if not self._audience(mailing).receiving:
            raise MailingConflictError("Nobody would receive it.")

    @extend_schema(responses=AudienceSerializer)
    @action(detail=True)
    def audience(self, request: Request, pk: str) -> Response:
        """How many will receive it, how many will not, and why."""
        return Response(AudienceSerializer(self._audience(self.get_object())).data)

    def _audience(self, mailing: Mailing) -> Any:
        try:
            return audience_of(mailing=mailing)
        except FilterError as error:
            raise MailingConflictError(str(error)) from None

    @_BODYLESS
    @action(detail=True, methods=["post"])
    def pause(self, request: Request, pk: str) -> Response:
        mailing = self.get_object()
        done = services.pause_mailing(mailing=mailing, reason=PauseReason.PERSON, by=self._actor)
        return self._after(mailing, done, "It does not run.")

    @_BODYLESS
    @action(detail=True, methods=["post"])
    def resume(self, request: Request, pk: str) -> Response:
        mailing = self.get_object()
        return self._after(mailing, services.resume_mailing(mailing=mailing, by=self._actor), "It is not paused.")

    @_BODYLESS
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: str) -> Response:
        """Whoever has not got it yet will not get it."""
        mailing = self.get_object()
        return self._after(mailing, services.cancel_mailing(mailing=mailing, by=self._actor), "It is not under way.")

    @_BODYLESS
    @action(detail=True, methods=["post"])
    def resend(self, request: Request, pk: str) -> Response:
        """Send again what the provider never answered: whoever did get it gets it twice."""
        mailing = self.get_object()
        return self._after(mailing, bool(resend_unknown(mailing, by=self._actor)), "No message's fate is unknown.")

    def _after(self, mailing: Mailing, done: bool, fault: str) -> Response:
        if not done:
            raise MailingConflictError(fault)
        return self._current(mailing)

    def _current(self, mailing: Mailing) -> Response:
        return Response(self.get_serializer(self.get_queryset().get(pk=mailing.pk)).data)


def _refusal(error: MailingError) -> exceptions.ValidationError:
    return exceptions.ValidationError({error.field or "non_field_errors": [str(error)]})
