"""Contacts: the same filters, checks and services as the pages."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.http import QueryDict
from django.shortcuts import get_object_or_404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import exceptions, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param

from crm.contactfields import FIELDS
from crm.enums import FactSource, Status
from crm.fieldtypes import FieldError, Reading, parse
from crm.filters import DEFAULT_SORT, SORTS, parse_filter
from crm.models import Contact, CustomField, MergeRecord
from crm.models.setup import crm_settings
from crm.selectors.contacts import filter_contacts, page_of_contacts, read_cursor
from crm.selectors.people import people_of
from crm.services.contacts import ConflictError, bin_contacts, create_contact, restore_contact, update_contact
from crm.services.erasing import erase_person
from crm.services.merging import MergeError, merge_contacts, undo_merge
from tenants.audit import record
from tenants.enums import AuditAction, Scope
from tenants.idempotency import IdempotentCreateMixin, idempotent
from tenants.permissions import IsManager
from tenants.strictness import StrictTypesMixin


class ConflictResponseError(exceptions.APIException):
    status_code = status.HTTP_409_CONFLICT
    default_code = "conflict"


class PhoneSerializer(StrictTypesMixin, serializers.Serializer[Any]):
    label = serializers.RegexField(r"^[^:;\n]*$", max_length=30, allow_blank=True, default="")  # type: ignore[assignment]
    number = serializers.CharField(max_length=40, help_text="In E.164 form, such as +15550100123.")


class ContactSerializer(StrictTypesMixin, serializers.ModelSerializer[Contact]):
    contact_email = serializers.CharField(max_length=254, required=False, allow_blank=True)
    address = serializers.CharField(max_length=300, required=False, allow_blank=True)
    notes = serializers.CharField(max_length=100_000, required=False, allow_blank=True)
    phones = PhoneSerializer(many=True, required=False, max_length=20)  # type: ignore[call-arg]
    phone = serializers.CharField(
        max_length=40, required=False, allow_blank=True, help_text="The number to ring: the first of `phones`."
    )
    status = serializers.ChoiceField(choices=Status.choices, required=False)
    owner = serializers.IntegerField(source="owner_id", required=False, allow_null=True, help_text="Of an owner or admin.")
    tags = serializers.ListField(child=serializers.CharField(max_length=60), required=False, max_length=100)
    custom_fields = serializers.DictField(
        required=False, help_text="By the keys of the custom fields; null takes one away."
    )
    do_not_call = serializers.BooleanField(required=False)
    do_not_mail = serializers.BooleanField(required=False)
    score_reasons = serializers.ListField(child=serializers.ListField(), read_only=True)
    version = serializers.IntegerField(
        required=False,
        min_value=1,
        max_value=2**31 - 1,
        help_text="Send it to be refused with 409 if somebody was quicker.",
    )

    class Meta:
        model = Contact
        fields = [
            "id",
            *(name for name in FIELDS if name not in ("phones", "do_not_call", "do_not_mail")),
            "phone",
            "phones",
            "owner",
            "custom_fields",
            "do_not_call",
            "do_not_call_at",
            "do_not_mail",
            "do_not_mail_at",
            "score",
            "score_reasons",
            "last_interaction_at",
            "open_task_count",
            "version",
            "created_at",
            "updated_at",
        ]
        read_only_fields = [
            "do_not_call_at",
            "do_not_mail_at",
            "score",
            "last_interaction_at",
            "open_task_count",
            "created_at",
            "updated_at",
        ]

    def to_representation(self, contact: Contact) -> dict[str, Any]:
        contact.do_not_call = contact.do_not_call_at is not None  # type: ignore[attr-defined]
        contact.do_not_mail = contact.do_not_mail_at is not None  # type: ignore[attr-defined]
        return super().to_representation(contact)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        reading = Reading(region=crm_settings().phone_region)
        values = {
            name: value for name, value in attrs.items() if name not in ("custom_fields", "phone", "phones", "version")
        }
        for name in ("contact_email", "website"):
            if values.get(name):
                values[name] = self._read(name, values[name], reading)
        values |= self._phones(attrs, reading)
        if values.get("owner_id") is not None:
            self._check_owner(values["owner_id"])
        if "custom_fields" in attrs or self.instance is None:
            values["custom_fields"] = self._custom(attrs.get("custom_fields", {}), reading)
        self._check_name(values)
        if "version" in attrs:
            values["version"] = attrs["version"]
        return values

    def _read(self, name: str, raw: str, reading: Reading) -> Any:
        try:
            return FIELDS[name].parse(raw, reading)
        except FieldError as error:
            raise serializers.ValidationError({name: [str(error)]}) from None

    def _phones(self, attrs: dict[str, Any], reading: Reading) -> dict[str, Any]:
        found = []
        for phone in attrs.get("phones", []):
            numbers = self._read("phones", phone["number"].replace(":", " ").replace(";", " "), reading)
            found += [{**number, "label": phone["label"]} for number in numbers]
        if "phone" not in attrs:
            return {"phones": found} if "phones" in attrs else {}
        first = self._read("phones", attrs["phone"], reading) if attrs["phone"] else []
        others = (
            found if "phones" in attrs else list(self.instance.phones[1:]) if isinstance(self.instance, Contact) else []
        )
        numbers = {phone["number"] for phone in first}
        return {"phones": [*first, *(phone for phone in others if phone["number"] not in numbers)]}

    def _check_owner(self, owner_id: int) -> None:
        if owner_id not in {user.pk for user in people_of(self.context["request"].tenant)}:
            raise serializers.ValidationError({"owner": ["Nobody who manages contacts here has this id."]})

    def _custom(self, sent: dict[str, Any], reading: Reading) -> dict[str, Any]:
        known = {field.key: field for field in CustomField.objects.filter(is_active=True)}
        values = dict(self.instance.custom_fields) if isinstance(self.instance, Contact) else {}
        if self.instance is None:
            values = {key: field.default for key, field in known.items() if field.default is not None}
        faults: dict[str, str] = {}
        for key, raw in sent.items():
            try:
                value = parse(known[key], raw, reading) if key in known else None
            except FieldError as error:
                faults[key] = str(error)
                continue
            if key not in known:
                faults[key] = "there is no such field"
            elif value is None:
                values.pop(key, None)
            else:
                values[key] = value
        faults |= {key: "is required" for key, field in known.items() if field.is_required and key not in values | faults}
        if faults:
            raise serializers.ValidationError({"custom_fields": faults})
        return values

    def _check_name(self, values: dict[str, Any]) -> None:
        for name in ("contact_name", "business_name"):
            if values.get(name, getattr(self.instance, name, "")):
                return
        raise serializers.ValidationError({"contact_name": ["Give a name, or the name of a business."]})


class MergeSerializer(StrictTypesMixin, serializers.Serializer[Any]):
    merged = serializers.IntegerField(min_value=1, max_value=2**63 - 1, help_text="The contact that goes into this one.")
    take = serializers.DictField(
        child=serializers.ChoiceField(choices=["kept", "merged"]), required=False, help_text="Whose value stays, by field."
    )


class ErasureSerializer(serializers.Serializer[Any]):
    erased = serializers.DictField(child=serializers.IntegerField(), help_text="How many rows, by kind.")


class MergeRecordSerializer(serializers.ModelSerializer[MergeRecord]):
    class Meta:
        model = MergeRecord
        fields = ["id", "kept", "merged", "merged_at", "undone_at"]


class ContactPagination(BasePagination):
    """By where the last page ended; bounded time for any filter (crm.selectors.contacts)."""

    max_page_size = 200

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Contact]:  # type: ignore[override]
        size = request.query_params.get("page_size", "50")
        if not (size.isascii() and size.isdigit() and len(size) < 4 and 1 <= int(size) <= self.max_page_size):
            raise exceptions.ValidationError({"page_size": [f"Must be a number from 1 to {self.max_page_size}."]})
        sort = request.query_params.get("sort", DEFAULT_SORT)
        if sort not in SORTS:
            raise exceptions.ValidationError({"sort": [f"Must be one of: {', '.join(SORTS)}."]})
        cursor = request.query_params.get("cursor")
        if cursor and read_cursor(cursor, sort) is None:
            raise exceptions.ValidationError({"cursor": ["Use a cursor as `next` gave it, with the same order."]})
        self.page = page_of_contacts(queryset, sort=sort, cursor=cursor, size=int(size), whole=True)
        url = request.build_absolute_uri()
        self.next = replace_query_param(url, "cursor", self.page.next_cursor) if self.page.next_cursor else None
        return list(self.page.contacts)

    def get_paginated_response(self, data: Any) -> Response:
        return Response(
            {"next": self.next, "count": self.page.total, "count_is_capped": self.page.is_capped, "results": data}
        )

    def get_paginated_response_schema(self, schema: Any) -> dict[str, Any]:
        properties = {
            "next": {"type": "string", "nullable": True, "format": "uri"},
            "count": {"type": "integer", "description": "At most 5,000."},
            "count_is_capped": {"type": "boolean", "description": "There are more than `count`."},
            "results": schema,
        }
        return {"type": "object", "required": list(properties), "properties": properties}


def _filter(name: str, about: str, kind: Any = OpenApiTypes.STR, **options: Any) -> OpenApiParameter:
    return OpenApiParameter(name, kind, description=about, **options)


FILTERS = [
    _filter("q", "Words of name, business, city and notes by their beginnings; a whole number or e-mail address."),
    OpenApiParameter("status", {"type": "array", "items": {"type": "string", "enum": list(Status.values)}}, explode=True),
    _filter("city", "Any of these cities.", many=True),
    _filter("state", "Any of these states.", many=True),
    _filter("owner", "Of these people: ids, `me` or `none`.", many=True),
    _filter("tag", "With all of these tags.", many=True),
    _filter("source", "From any of these sources.", many=True),
    _filter("score_min", "", {"type": "integer", "minimum": -999_999_999, "maximum": 999_999_999}),
    _filter("score_max", "", {"type": "integer", "minimum": -999_999_999, "maximum": 999_999_999}),
    _filter("created_from", "", OpenApiTypes.DATE),
    _filter("created_to", "", OpenApiTypes.DATE),
    _filter("quiet_since", "Not contacted since this day.", OpenApiTypes.DATE),
    _filter("has_task", "Has an open task.", OpenApiTypes.BOOL),
    _filter("no_contact", "Wants no calls or no mail.", OpenApiTypes.BOOL),
    _filter("sort", "The order.", enum=list(SORTS)),
    _filter("cursor", "Where the page begins, as `next` of another page says."),
    _filter("page_size", "", {"type": "integer", "minimum": 1, "maximum": 200, "default": 50}),
]


def refuse_empty(params: QueryDict) -> None:
    """A form leaves fields empty; a program that asks for nothing is mistaken. Raises ValidationError."""
    known = {parameter.name for parameter in FILTERS} | {"import", "id", "format"}
    if unknown := [name for name in params if name not in known and not name.startswith("cf_")]:
        raise exceptions.ValidationError({name[:80]: ["There is no such filter."] for name in unknown})
    if empty := [name for name in params if name in known and not all(value.strip() for value in params.getlist(name))]:
        raise exceptions.ValidationError({name: ["Must not be empty."] for name in empty})


@extend_schema_view(list=extend_schema(parameters=FILTERS))
class ContactViewSet(IdempotentCreateMixin, viewsets.ModelViewSet[Contact]):
    """Contacts. Custom fields are filters too: `cf_KEY=value`, or `cf_KEY_min` and `cf_KEY_max` for what has an order."""

    serializer_class = ContactSerializer
    permission_classes = [IsManager]
    required_scopes = {"read": Scope.CONTACTS_READ, "write": Scope.CONTACTS_WRITE}
    pagination_class = ContactPagination
    queryset = Contact.objects.none()
    lookup_value_regex = "[0-9]{1,18}"
    http_method_names = ["get", "post", "patch", "delete", "head", "options"]

    def get_queryset(self) -> QuerySet[Contact]:
        if getattr(self, "swagger_fake_view", False):
            return super().get_queryset()
        if self.action != "list":
            return Contact.objects.live()  # type: ignore[no-any-return]
        refuse_empty(self.request.query_params)
        chosen = parse_filter(self.request.query_params, CustomField.objects.filter(is_active=True))
        if chosen.faults:
            raise exceptions.ValidationError({"detail": list(chosen.faults)})
        return filter_contacts(chosen, tenant=self.request.tenant, user=self.request.user)  # type: ignore[attr-defined, arg-type]

    def perform_create(self, serializer: serializers.BaseSerializer[Contact]) -> None:
        values = {name: value for name, value in serializer.validated_data.items() if name != "version"}
        serializer.instance = create_contact(values=values, by=self.request.user, source=FactSource.API)  # type: ignore[arg-type]

    @extend_schema(responses={200: ContactSerializer, 409: OpenApiTypes.OBJECT})
    def partial_update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().partial_update(request, *args, **kwargs)

    def perform_update(self, serializer: serializers.BaseSerializer[Contact]) -> None:
        values = dict(serializer.validated_data)
        version = values.pop("version", None)
        contact = serializer.instance
        assert contact is not None  # there is something to update
        try:
            serializer.instance = update_contact(
                contact=contact,
                values=values,
                version=version,
                source=FactSource.API,
                by=self.request.user,  # type: ignore[arg-type]
            )
        except ConflictError as conflict:
            detail = f"The contact was changed meanwhile: it has version {conflict.current.version} now."
            raise ConflictResponseError(detail) from None

    def perform_destroy(self, instance: Contact) -> None:
        """Into the bin, from which it can be restored for thirty days."""
        bin_contacts(ids=[instance.pk])
        self._record(AuditAction.CONTACTS_DELETED, f"contact {instance.pk}")

    @extend_schema(request=None, responses=ContactSerializer)
    @action(detail=True, methods=["post"])
    def restore(self, request: Request, pk: int) -> Response:
        """Take a contact out of the bin again."""
        contact = get_object_or_404(Contact, pk=pk, merged_into=None)
        restore_contact(contact=contact)
        contact.refresh_from_db()
        return Response(self.get_serializer(contact).data)

    @extend_schema(request=None, responses={200: ErasureSerializer})
    @action(detail=True, methods=["post"])
    def erase(self, request: Request, pk: int) -> Response:
        """Forget this person for good, in every room: contact, timeline, files, calls, messages. It cannot be undone.

        That they want no contact stays known by an index nobody can read. A second time there is nothing left to erase.
        """
        contact = get_object_or_404(Contact, pk=pk)
        return Response({"erased": erase_person(contact=contact, by=request.user)})  # type: ignore[arg-type]

    @extend_schema(request=MergeSerializer, responses={200: MergeRecordSerializer, 409: OpenApiTypes.OBJECT})
    @action(detail=True, methods=["post"])
    @idempotent
    def merge(self, request: Request, pk: int) -> Response:
        """Merge another contact into this one."""
        asked = MergeSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        merged = get_object_or_404(Contact.objects.live(), pk=asked.validated_data["merged"])
        try:
            done = merge_contacts(
                kept=self.get_object(),
                merged=merged,
                take=asked.validated_data.get("take", {}),
                by=request.user,  # type: ignore[arg-type]
            )
        except MergeError as error:
            raise ConflictResponseError(str(error)) from None
        self._record(AuditAction.CONTACTS_MERGED, f"contact {done.merged_id} into {done.kept_id}")
        return Response(MergeRecordSerializer(done).data)

    @extend_schema(request=None, responses={200: MergeRecordSerializer, 409: OpenApiTypes.OBJECT})
    @action(detail=True, methods=["post"], url_path="unmerge")
    def unmerge(self, request: Request, pk: int) -> Response:
        """Part this contact from the one that was merged into it last."""
        done = MergeRecord.objects.filter(kept=self.get_object(), undone_at=None).first()
        if done is None:
            raise ConflictResponseError("Nothing was merged into this contact.")
        try:
            undo_merge(record=done)
        except MergeError as error:
            raise ConflictResponseError(str(error)) from None
        done.refresh_from_db()
        return Response(MergeRecordSerializer(done).data)

    def _record(self, what: AuditAction, target: str) -> None:
        record(what, tenant=self.request.tenant, actor=self.request.user, target=target)  # type: ignore[attr-defined, arg-type]
