"""REST: e-mail templates, for owners and admins."""

from __future__ import annotations

from typing import Any, cast

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import exceptions, mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from crm.email.models import EmailTemplate, EmailTemplateVersion
from crm.email.rendering.checks import check
from crm.email.rendering.renderer import RenderError
from crm.email.rendering.sources import MAX_PART_BYTES, MAX_SUBJECT, Source
from crm.email.selectors.templates import example, templates
from crm.email.services import templates as services
from crm.email.services.templates import MAX_NAME, TemplateConflictError, TemplateError
from crm.models import Contact
from tenants.enums import Scope
from tenants.idempotency import idempotent
from tenants.models import ApiToken, User
from tenants.permissions import IsManager
from tenants.strictness import StrictTypesMixin

_HIGHEST_ID = 2**63 - 1


class ConflictResponseError(exceptions.APIException):
    status_code = status.HTTP_409_CONFLICT
    default_code = "conflict"


class VersionSerializer(serializers.ModelSerializer[EmailTemplateVersion]):
    class Meta:
        model = EmailTemplateVersion
        fields = ["number", "subject", "html", "text", "variables", "created_by", "created_at"]
        read_only_fields = fields


class EmailTemplateSerializer(StrictTypesMixin, serializers.Serializer[Any]):
    id = serializers.IntegerField(read_only=True)
    key = serializers.CharField(
        read_only=True, allow_null=True, help_text="Of those every organisation starts with: welcome, follow-up, …"
    )
    name = serializers.CharField(max_length=MAX_NAME)
    subject = serializers.CharField(source="current.subject", max_length=MAX_SUBJECT, help_text="In Jinja2, as the rest.")
    html = serializers.CharField(source="current.html", max_length=MAX_PART_BYTES, trim_whitespace=False)
    text = serializers.CharField(
        source="current.text",
        max_length=MAX_PART_BYTES,
        trim_whitespace=False,
        required=False,
        allow_blank=True,
        help_text="Left empty, it is made from the HTML.",
    )
    is_active = serializers.BooleanField(required=False, default=True)
    version = serializers.IntegerField(
        source="current.number",
        required=False,
        min_value=1,
        max_value=2**31 - 1,
        help_text="The newest version. Send it to be refused with 409 if somebody was quicker.",
    )
    variables = serializers.ListField(
        source="current.variables", child=serializers.CharField(), read_only=True, help_text="The names it asks for."
    )
    created_at = serializers.DateTimeField(read_only=True)
    updated_at = serializers.DateTimeField(read_only=True)


class FindingSerializer(serializers.Serializer[Any]):
    level = serializers.ChoiceField(choices=["error", "warning", "info"])
    part = serializers.ChoiceField(choices=["subject", "html", "text"])
    line = serializers.IntegerField(allow_null=True)
    text = serializers.CharField()


class TryoutSerializer(StrictTypesMixin, serializers.Serializer[Any]):
    contact = serializers.IntegerField(
        required=False,
        min_value=1,
        max_value=_HIGHEST_ID,
        help_text="A token needs contacts:read. Left out, the newest contact with an address; to other tokens, examples.",
    )


class PreviewSerializer(TryoutSerializer):
    subject = serializers.CharField(required=False, max_length=MAX_SUBJECT, help_text="Instead of what is saved.")
    html = serializers.CharField(required=False, max_length=MAX_PART_BYTES, trim_whitespace=False)
    text = serializers.CharField(required=False, max_length=MAX_PART_BYTES, trim_whitespace=False, allow_blank=True)


class RenderingSerializer(serializers.Serializer[Any]):
    contact = serializers.IntegerField(allow_null=True, help_text="Whose values these are; null: examples.")
    subject = serializers.CharField()
    html = serializers.CharField()
    text = serializers.CharField()
    findings = FindingSerializer(many=True)


class SentSerializer(serializers.Serializer[Any]):
    sent_to = serializers.EmailField()


class RestoreSerializer(StrictTypesMixin, serializers.Serializer[Any]):
    version = serializers.IntegerField(min_value=1, max_value=2**31 - 1)


class EmailTemplateViewSet(
    mixins.ListModelMixin, mixins.RetrieveModelMixin, mixins.DestroyModelMixin, viewsets.GenericViewSet[EmailTemplate]
):
    serializer_class = EmailTemplateSerializer
    permission_classes = [IsManager]
    required_scopes = {"read": Scope.EMAIL_READ, "write": Scope.EMAIL_WRITE}
    queryset = EmailTemplate.objects.kept().select_related("current")
    may_conflict = ("update", "partial_update", "destroy")
    lookup_value_regex = r"\d{1,18}"

    def get_queryset(self) -> QuerySet[EmailTemplate]:
        return templates()

    @property
    def _actor(self) -> User:
        return cast("User", self.request.user)

    @extend_schema(responses={201: EmailTemplateSerializer})
    @idempotent
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return Response(self._save(request, None), status=status.HTTP_201_CREATED)

    @extend_schema(responses=EmailTemplateSerializer)
    def update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return Response(self._save(request, self.get_object(), partial=bool(kwargs.get("partial"))))

    @extend_schema(responses=EmailTemplateSerializer)
    def partial_update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return self.update(request, *args, **{**kwargs, "partial": True})

    def _save(self, request: Request, template: EmailTemplate | None, *, partial: bool = False) -> Any:
        serializer = EmailTemplateSerializer(data=request.data, partial=partial)
        serializer.is_valid(raise_exception=True)
        given = dict(serializer.validated_data)
        words = given.pop("current", {})
        number = words.pop("number", None)
        values = {**_saved(template), **given, **words}
        try:
            saved = services.save_template(template=template, **values, by=self._actor, number=number)
        except TemplateConflictError as conflict:
            assert conflict.current.current is not None
            newest = conflict.current.current.number
            raise ConflictResponseError(f"The template was changed meanwhile: it has version {newest} now.") from None
        except TemplateError as error:
            raise _refusal(error) from None
        return EmailTemplateSerializer(saved).data

    def perform_destroy(self, instance: EmailTemplate) -> None:
        """What is being sent with it goes on."""
        try:
            services.delete_template(template=instance, by=self._actor)
        except TemplateError as error:
            raise ConflictResponseError(str(error)) from None

    @extend_schema(request=PreviewSerializer, responses=RenderingSerializer)
    @action(detail=True, methods=["post"])
    def preview(self, request: Request, pk: str) -> Response:
        """The template, or other words in its place, as a contact would get it."""
        asked = PreviewSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        saved = _saved(self.get_object())
        words = {part: asked.validated_data.get(part, saved[part]) for part in ("subject", "html", "text")}
        source, contact = services.source_of(**words), _contact(request, asked.validated_data)
        try:
            rendering = services.preview(source=source, contact=contact)
        except RenderError as error:
            raise serializers.ValidationError({error.part: [f"{error.place}: {error}"]}) from None
        answer = {"subject": rendering.subject, "html": rendering.html, "text": rendering.text, "findings": check(source)}
        return Response(RenderingSerializer({"contact": contact.pk if contact else None, **answer}).data)

    @extend_schema(request=TryoutSerializer, responses=SentSerializer)
    @action(detail=True, methods=["post"])
    @idempotent
    def test(self, request: Request, pk: str) -> Response:
        """Send it, as a contact would get it, to your own address."""
        asked = TryoutSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        source = Source(**{part: _saved(self.get_object())[part] for part in ("subject", "html", "text")})
        try:
            services.send_test(source=source, contact=_contact(request, asked.validated_data), to=self._actor)
        except (RenderError, TemplateError) as error:
            raise serializers.ValidationError({"non_field_errors": [str(error)]}) from None
        return Response({"sent_to": self._actor.email})

    @extend_schema(responses=VersionSerializer(many=True))
    @action(detail=True)
    def versions(self, request: Request, pk: str) -> Response:
        page: Any = self.paginate_queryset(self.get_object().versions.all())  # type: ignore[arg-type]
        return self.get_paginated_response(VersionSerializer(page, many=True).data)

    @extend_schema(request=RestoreSerializer, responses=EmailTemplateSerializer)
    @action(detail=True, methods=["post"])
    def restore(self, request: Request, pk: str) -> Response:
        """Make an earlier version the newest."""
        template = self.get_object()
        asked = RestoreSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        version = template.versions.filter(number=asked.validated_data["version"]).first()
        if version is None:
            raise serializers.ValidationError({"version": ["There is no such version."]})
        try:
            saved = services.restore_version(template=template, version=version, by=self._actor)
        except TemplateError as error:
            raise _refusal(error) from None
        return Response(EmailTemplateSerializer(saved).data)


def _saved(template: EmailTemplate | None) -> dict[str, Any]:
    if template is None:
        return {"text": "", "is_active": True}
    version = template.current
    assert version is not None
    words = {part: getattr(version, part) for part in ("subject", "html", "text")}
    return {"name": template.name, "is_active": template.is_active, **words}


def _contact(request: Request, asked: dict[str, Any]) -> Contact | None:
    """Return whose values are shown; None, for the examples, to tokens that may not read contacts."""
    wanted = asked.get("contact")
    if isinstance(request.auth, ApiToken) and Scope.CONTACTS_READ not in request.auth.scopes:
        if wanted is not None:
            raise exceptions.PermissionDenied(f"This token lacks the scope {Scope.CONTACTS_READ}.")
        return None
    found = example(wanted).contact
    if wanted is not None and (found is None or found.pk != wanted):
        raise serializers.ValidationError({"contact": ["There is no such contact."]})
    return found


def _refusal(error: TemplateError) -> serializers.ValidationError:
    faults: dict[str, list[str]] = {}
    for finding in error.findings:
        faults.setdefault(finding.part, []).append(f"Line {finding.line}: {finding.text}" if finding.line else finding.text)
    return serializers.ValidationError(faults or {"non_field_errors": [str(error)]})
