"""REST: imports of contacts, from the upload to the undoing, for owners and admins."""

from __future__ import annotations

from typing import Any, cast

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import exceptions, mixins, serializers, status, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from crm.enums import Status
from crm.fieldtypes import DAY_FORMATS
from crm.imports import mapping as columns
from crm.imports.enums import ImportState, OnDuplicate
from crm.imports.errors import FileError, ImportStateError
from crm.imports.models import BadRow, ContactImport
from crm.imports.sealed import BLOCK
from crm.imports.services import uploading
from crm.imports.services.running import cancel_import, start_import
from crm.imports.services.undoing import start_undo
from crm.imports.uploads import BoundedUploadHandler, bound_upload, says_too_large
from tenants.enums import Scope
from tenants.idempotency import idempotent
from tenants.models import User
from tenants.pagination import Newest
from tenants.parsers import JSONParser, MultiPartParser
from tenants.permissions import IsManager
from tenants.strictness import StrictTypesMixin


class TooLargeError(exceptions.APIException):
    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_code = "too_large"


class StateError(exceptions.APIException):
    status_code = status.HTTP_409_CONFLICT
    default_code = "state"


class ContactImportSerializer(serializers.ModelSerializer[ContactImport]):
    questions = serializers.SerializerMethodField(help_text="By column, the field its header is almost the name of.")
    checked = serializers.DictField(child=serializers.IntegerField(), allow_null=True, read_only=True)
    counts = serializers.DictField(child=serializers.IntegerField(), read_only=True)
    headers = serializers.ListField(child=serializers.CharField(), read_only=True)
    mapping = serializers.ListField(child=serializers.CharField(allow_blank=True), read_only=True)
    sheets = serializers.ListField(child=serializers.CharField(), read_only=True)

    class Meta:
        model = ContactImport
        fields = [
            "id",
            "state",
            "name",
            "kind",
            "size",
            "encoding",
            "delimiter",
            "sheet",
            "sheets",
            "header_row",
            "headers",
            "mapping",
            "questions",
            "day_format",
            "region",
            "on_duplicate",
            "checked",
            "total",
            "progress",
            "counts",
            "undone",
            "kept",
            "error",
            "uploaded_at",
            "started_at",
            "finished_at",
        ]
        read_only_fields = fields

    @extend_schema_field({"type": "object", "additionalProperties": {"type": "string"}})
    def get_questions(self, record: ContactImport) -> dict[str, str]:
        if record.state != ImportState.UPLOADED:
            return {}
        return {record.headers[position]: target for position, target in uploading.questions(record).items()}


class UploadSerializer(serializers.Serializer[Any]):
    file = serializers.FileField(allow_empty_file=True, help_text="CSV or XLSX, one contact in each row.")


class ColumnsSerializer(StrictTypesMixin, serializers.Serializer[Any]):
    mapping = serializers.ListField(
        child=serializers.CharField(max_length=60, allow_blank=True),
        max_length=250,
        help_text="A target for each column: a field's key, `cf_` and a custom field's key, `new:` and a type, or nothing.",
    )
    day_format = serializers.ChoiceField(choices=[("", "any"), *((shape, shape) for shape in DAY_FORMATS)], required=False)
    region = serializers.RegexField(r"^([A-Z]{2})?$", required=False, allow_blank=True)


class StartSerializer(StrictTypesMixin, serializers.Serializer[Any]):
    on_duplicate = serializers.ChoiceField(choices=OnDuplicate.choices, default=OnDuplicate.SKIP)
    status = serializers.ChoiceField(choices=Status.choices, required=False)
    source = serializers.CharField(max_length=80, required=False, allow_blank=True)  # type: ignore[assignment]
    owner = serializers.IntegerField(required=False, allow_null=True, min_value=1, max_value=2**63 - 1)
    tags = serializers.ListField(child=serializers.CharField(max_length=60), required=False, max_length=100)


class BadRowSerializer(serializers.Serializer[BadRow]):
    number = serializers.IntegerField()
    reason = serializers.CharField(source="content.reason")
    cells = serializers.ListField(child=serializers.CharField(allow_blank=True), source="content.cells")


class LatestFirst(Newest):
    ordering = ("-id",)


class ByNumber(Newest):
    ordering = ("number",)


_BODYLESS = extend_schema(request=None, responses=ContactImportSerializer)


class ContactImportViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, viewsets.GenericViewSet[ContactImport]):
    serializer_class = ContactImportSerializer
    permission_classes = [IsManager]
    required_scopes = {"read": Scope.IMPORTS_READ, "write": Scope.IMPORTS_WRITE}
    pagination_class = LatestFirst
    queryset = ContactImport.objects.all()
    lookup_value_regex = "[0-9]{1,18}"
    _upload: BoundedUploadHandler | None = None

    def initialize_request(self, request: Any, *args: Any, **kwargs: Any) -> Request:
        """Before anything reads the body: an upload is bounded, and never held in memory."""
        if request.method == "POST":
            self._upload = bound_upload(request)
        return super().initialize_request(request, *args, **kwargs)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if says_too_large(request._request):
            raise TooLargeError(uploading.too_large())

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        if self._upload is not None:
            self._upload.close()
        return super().finalize_response(request, response, *args, **kwargs)

    def get_parsers(self) -> list[Any]:
        kind = MultiPartParser if getattr(self, "action_map", {}).get("post") == "create" else JSONParser
        return [kind()]

    @extend_schema(request={"multipart/form-data": UploadSerializer}, responses={201: ContactImportSerializer})
    @idempotent
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Upload a file. When its columns explain themselves it is checked at once; `state` says so."""
        serializer = UploadSerializer(data=request.data)
        is_valid = serializer.is_valid()
        if self._upload and self._upload.is_too_large:
            raise TooLargeError(uploading.too_large())
        if not is_valid:
            raise exceptions.ValidationError(serializer.errors)
        file = serializer.validated_data["file"]
        try:
            record = uploading.upload_import(chunks=file.chunks(BLOCK), name=file.name, by=cast("User", request.user))
        except FileError as error:
            raise exceptions.ValidationError({"file": [str(error)]}) from None
        self._check_at_once(record)
        headers = {"Location": request.build_absolute_uri(f"/api/v1/imports/{record.pk}/")}
        return Response(self.get_serializer(record).data, status=status.HTTP_201_CREATED, headers=headers)

    def _check_at_once(self, record: ContactImport) -> None:
        faults = columns.mapping_faults(record.mapping, record.headers, uploading.custom_fields())
        if not faults and not uploading.questions(record):
            uploading.choose_columns(record=record, mapping=record.mapping, day_format=record.day_format)

    @extend_schema(request=ColumnsSerializer, responses=ContactImportSerializer)
    @action(detail=True, methods=["post"])
    def columns(self, request: Request, pk: str) -> Response:
        """Say what the columns are, and have the whole file checked."""
        record, chosen = self.get_object(), self._read(ColumnsSerializer, request)
        if faults := columns.mapping_faults(chosen["mapping"], record.headers, uploading.custom_fields()):
            raise exceptions.ValidationError({"mapping": faults})
        return self._after(record, lambda: uploading.choose_columns(record=record, **chosen))

    @extend_schema(request=StartSerializer, responses=ContactImportSerializer)
    @action(detail=True, methods=["post"])
    @idempotent
    def start(self, request: Request, pk: str) -> Response:
        """Carry out an import that has been checked (`state` is `ready`)."""
        record, chosen = self.get_object(), self._read(StartSerializer, request)
        on_duplicate = chosen.pop("on_duplicate")
        return self._after(record, lambda: start_import(record=record, on_duplicate=on_duplicate, defaults=chosen))

    @_BODYLESS
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: str) -> Response:
        """Stop an import. What it has written stays, and can be undone."""
        record = self.get_object()
        return self._after(record, lambda: cancel_import(record=record))

    @_BODYLESS
    @action(detail=True, methods=["post"])
    def undo(self, request: Request, pk: str) -> Response:
        """Take an import back. Contacts that somebody changed since stay as they are and are counted as `kept`."""
        record = self.get_object()
        return self._after(record, lambda: start_undo(record=record))

    @extend_schema(responses=BadRowSerializer(many=True))
    @action(detail=True, url_path="bad-rows", pagination_class=ByNumber)
    def bad_rows(self, request: Request, pk: str) -> Response:
        """The rows that were left out, with the reasons."""
        found: QuerySet[BadRow] = BadRow.objects.filter(contact_import=self.get_object())
        page: Any = self.paginate_queryset(found)  # type: ignore[arg-type]
        return self.get_paginated_response(BadRowSerializer(page, many=True).data)

    def _read(self, kind: type[serializers.Serializer[Any]], request: Request) -> dict[str, Any]:
        serializer = kind(data=request.data)
        serializer.is_valid(raise_exception=True)
        return dict(serializer.validated_data)

    def _after(self, record: ContactImport, carry_out: Any) -> Response:
        try:
            carry_out()
        except ImportStateError as error:
            raise StateError(str(error)) from None
        record.refresh_from_db()
        return Response(self.get_serializer(record).data)
