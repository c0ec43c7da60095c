"""REST: sequences, and who is on the way through them; for owners and admins."""

from __future__ import annotations

from typing import Any, cast

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field
from rest_framework import exceptions, mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from crm.email.enums import EnrolmentState, Otherwise, StepCondition
from crm.email.models import Enrolment
from crm.email.models import Sequence as EmailSequence
from crm.email.models.sequences import LONGEST_WAIT_H
from crm.email.services import sequences as services
from crm.email.services.enrolling import EnrolError, enrol_contact
from crm.email.services.sequences import MAX_STEPS, SequenceError
from crm.email.steps import Draft
from crm.enums import Status
from crm.models import Contact
from tenants.audit import record_request
from tenants.enums import AuditAction, Scope
from tenants.idempotency import idempotent
from tenants.models import User
from tenants.pagination import Newest
from tenants.permissions import IsManager
from tenants.strictness import StrictTypesMixin

LARGEST_ID = 2**63 - 1
_NAMES = {"wait": "wait_hours", "template": "template"}  # how a fault's field is called here


class ConflictError(exceptions.APIException):
    status_code = status.HTTP_409_CONFLICT
    default_code = "conflict"


class StepSerializer(StrictTypesMixin, serializers.Serializer[Any]):
    id = serializers.IntegerField(
        required=False, min_value=1, max_value=LARGEST_ID, help_text="Of a step that stands already; a new one has none."
    )
    wait_hours = serializers.IntegerField(min_value=0, max_value=LONGEST_WAIT_H)
    template = serializers.IntegerField(source="template_id", min_value=1, max_value=LARGEST_ID)
    condition = serializers.ChoiceField(choices=StepCondition.choices, default=StepCondition.ALWAYS)
    status = serializers.ChoiceField(choices=[("", "any"), *Status.choices], default="")
    otherwise = serializers.ChoiceField(choices=Otherwise.choices, default=Otherwise.SKIP)


class SequenceSerializer(StrictTypesMixin, serializers.ModelSerializer[EmailSequence]):
    is_active = serializers.BooleanField(default=False)
    stop_on_reply = serializers.BooleanField(default=True)
    steps = serializers.SerializerMethodField()

    class Meta:
        model = EmailSequence
        fields = ["id", "name", "is_active", "stop_on_reply", "version", "steps", "created_at"]

    @extend_schema_field(StepSerializer(many=True))
    def get_steps(self, sequence: EmailSequence) -> Any:
        standing = [step for step in sequence.steps.all() if step.removed_at is None]
        return StepSerializer(standing, many=True).data


class WriteSequenceSerializer(StrictTypesMixin, serializers.Serializer[Any]):
    name = serializers.CharField(max_length=120)
    is_active = serializers.BooleanField(default=False)
    stop_on_reply = serializers.BooleanField(default=True, help_text="End somebody's way through it when they answer.")
    steps = StepSerializer(many=True, required=False)
    version = serializers.IntegerField(
        required=False,
        min_value=1,
        max_value=2**31 - 1,
        help_text="The one you read, so as not to overwrite others.",
    )

    def validate_steps(self, steps: list[Any]) -> list[Draft]:
        if len(steps) > MAX_STEPS:
            raise serializers.ValidationError(f"A sequence has at most {MAX_STEPS} steps.")
        return [_draft(step) for step in steps]


class ChangeSequenceSerializer(WriteSequenceSerializer):
    """What is not named stays. Not `partial`, which would take the steps' own defaults away."""

    name = serializers.CharField(max_length=120, required=False)
    is_active = serializers.BooleanField(required=False)
    stop_on_reply = serializers.BooleanField(required=False)


def _draft(step: dict[str, Any]) -> Draft:
    condition = StepCondition(step["condition"])
    return Draft(**{**step, "condition": condition, "otherwise": Otherwise(step["otherwise"])})


class SequenceViewSet(viewsets.ReadOnlyModelViewSet[EmailSequence]):
    serializer_class = SequenceSerializer
    permission_classes = [IsManager]
    required_scopes = {"read": Scope.EMAIL_READ, "write": Scope.EMAIL_WRITE}
    queryset = EmailSequence.objects.kept().prefetch_related("steps")
    pagination_class = Newest
    may_conflict = ("create", "update", "partial_update")
    lookup_value_regex = "[0-9]{1,18}"

    @extend_schema(request=WriteSequenceSerializer, responses={201: SequenceSerializer})
    @idempotent
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Write a sequence with its steps in order."""
        sequence = self._save(request, None)
        headers = {"Location": request.build_absolute_uri(f"/api/v1/sequences/{sequence.pk}/")}
        return Response(self._shown(sequence), status=status.HTTP_201_CREATED, headers=headers)

    @extend_schema(request=WriteSequenceSerializer)
    def update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Replace a sequence. Steps that are not named any more are taken out; people on their way pass over them."""
        return Response(self._shown(self._save(request, self.get_object())))

    @extend_schema(request=ChangeSequenceSerializer)
    def partial_update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return Response(self._shown(self._save(request, self.get_object())))

    def destroy(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """End it for everybody in it."""
        services.delete_sequence(sequence=self.get_object(), by=cast("User", request.user))
        return Response(status=status.HTTP_204_NO_CONTENT)

    def _save(self, request: Request, sequence: EmailSequence | None) -> EmailSequence:
        kind = ChangeSequenceSerializer if self.action == "partial_update" else WriteSequenceSerializer
        serializer = kind(data=request.data)
        serializer.is_valid(raise_exception=True)
        values = {**_present(sequence), **serializer.validated_data}
        values["drafts"] = values.pop("steps", [])
        try:
            return services.save_sequence(sequence=sequence, **values, by=cast("User", request.user))
        except SequenceError as error:
            raise _refusal(error) from None

    def _shown(self, sequence: EmailSequence) -> Any:
        return self.get_serializer(self.get_queryset().get(pk=sequence.pk)).data


def _present(sequence: EmailSequence | None) -> dict[str, Any]:
    if sequence is None:
        return {}
    steps = sequence.steps.filter(removed_at=None).order_by("position")
    drafts = [
        Draft(
            id=step.pk,
            template_id=step.template_id,
            wait_hours=step.wait_hours,
            condition=StepCondition(step.condition),
            status=step.status,
            otherwise=Otherwise(step.otherwise),
        )
        for step in steps
    ]
    values = {name: getattr(sequence, name) for name in ("name", "is_active", "stop_on_reply")}
    return {**values, "steps": drafts}


def _refusal(error: SequenceError) -> exceptions.APIException:
    if error.faults:
        faults = [f"Step {fault.step + 1}, {_NAMES.get(fault.field, fault.field)}: {fault.text}" for fault in error.faults]
        return exceptions.ValidationError({"steps": faults})
    if error.field:
        return exceptions.ValidationError({error.field: [str(error)]})
    return ConflictError(str(error))


class EnrolmentSerializer(serializers.ModelSerializer[Enrolment]):
    class Meta:
        model = Enrolment
        fields = ["id", "sequence", "contact", "state", "next_step", "due_at", "enrolled_at", "ended_at"]
        read_only_fields = fields


class NewEnrolmentSerializer(StrictTypesMixin, serializers.Serializer[Any]):
    sequence = serializers.PrimaryKeyRelatedField(queryset=EmailSequence.objects.kept())
    contact = serializers.PrimaryKeyRelatedField(queryset=Contact.objects.live())
    start_at = serializers.DateTimeField(required=False, allow_null=True)


class LatestFirst(Newest):
    ordering = ("-id",)


class EnrolmentViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[Enrolment]):
    """One contact on its way through a sequence. Nobody goes through the same one twice."""

    serializer_class = EnrolmentSerializer
    permission_classes = [IsManager]
    required_scopes = {"read": Scope.EMAIL_READ, "write": Scope.EMAIL_WRITE}
    queryset = Enrolment.objects.filter(sequence__deleted_at=None)
    pagination_class = LatestFirst
    may_conflict = ("create",)
    lookup_value_regex = "[0-9]{1,18}"

    @extend_schema(
        parameters=[
            OpenApiParameter("sequence", OpenApiTypes.INT),
            OpenApiParameter("contact", OpenApiTypes.INT),
            OpenApiParameter("state", OpenApiTypes.STR, enum=EnrolmentState.values),
        ]
    )
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().list(request, *args, **kwargs)

    def filter_queryset(self, queryset: Any) -> Any:
        asked = self.request.query_params
        for name in ("sequence", "contact"):
            if name in asked:
                queryset = queryset.filter(**{name: _id(name, asked[name])})
        if "state" in asked:
            if asked["state"] not in EnrolmentState.values:
                raise exceptions.ValidationError({"state": [f"Must be one of: {', '.join(EnrolmentState.values)}."]})
            queryset = queryset.filter(state=asked["state"])
        return queryset

    @extend_schema(request=NewEnrolmentSerializer, responses={201: EnrolmentSerializer})
    @idempotent
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        serializer = NewEnrolmentSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        try:
            enrolment = enrol_contact(**serializer.validated_data, by=cast("User", request.user))
        except EnrolError as error:
            raise ConflictError(str(error)) from None
        self._record(request, enrolment, "into")
        return Response(EnrolmentSerializer(enrolment).data, status=status.HTTP_201_CREATED)

    @extend_schema(request=None, responses=EnrolmentSerializer)
    @action(detail=True, methods=["post"])
    def stop(self, request: Request, pk: str) -> Response:
        """Take the contact out: nothing more is sent to it. Safe to repeat."""
        enrolment: Enrolment = self.get_object()
        mine = Enrolment.objects.filter(pk=enrolment.pk)
        if services.stop_enrolments(enrolments=mine, state=EnrolmentState.STOPPED):
            self._record(request, enrolment, "out of")
        enrolment.refresh_from_db()
        return Response(EnrolmentSerializer(enrolment).data)

    def _record(self, request: Request, enrolment: Enrolment, where: str) -> None:
        target = f"contact {enrolment.contact_id} {where} {enrolment.sequence.name}"
        record_request(request._request, AuditAction.SEQUENCE_CHANGED, target=target)


def _id(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise exceptions.ValidationError({name: ["Must be a number."]})
    return int(text)
