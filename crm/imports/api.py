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
from crm.fieldtypes import DAY_FORMATS, DECIMAL_MARKS
from crm.imports import mapping as columns
from crm.imports import selectors
from crm.imports.encodings import ENCODINGS
from crm.imports.enums import ImportState, OnDuplicate, OnShared
from crm.imports.errors import FileError, ImportStateError
from crm.imports.models import BadRow, ContactImport
from crm.imports.sealed import BLOCK
from crm.imports.services import uploading
from crm.imports.services.running import cancel_import, start_import
from crm.imports.services.undoing import start_undo
from crm.imports.sniffing import DELIMITERS
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
    questions = serializers.SerializerMethodField(
        help_text="By column, the field its header is almost the name of, or the wish about contact it seems to hold "
        "(empty where that is unclear). Send `columns` to answer; a wish has to be answered."
    )
    preset = serializers.CharField(read_only=True, help_text="The program that wrote the file; empty for none we know.")
    encodings = serializers.SerializerMethodField(help_text="Other encodings the file may have, the likeliest first.")
    open_questions = serializers.SerializerMethodField(
        help_text="What the check could not decide (`state` is `asking`). Send `answers`."
    )
    left_out = serializers.SerializerMethodField(help_text="Columns with content that are not imported.")
    warnings = serializers.SerializerMethodField(help_text="What the check has to say, in words.")
    checked_by_mode = serializers.SerializerMethodField(help_text="What the check counted, by `on_duplicate`.")
    on_shared = serializers.CharField(read_only=True)
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
            "encoding_is_sure",
            "encodings",
            "preset",
            "delimiter",
            "sheet",
            "sheets",
            "header_row",
            "headers",
            "mapping",
            "questions",
            "open_questions",
            "left_out",
            "warnings",
            "day_format",
            "decimal_mark",
            "region",
            "on_duplicate",
            "on_shared",
            "checked",
            "checked_by_mode",
            "total",
            "progress",
            "counts",
            "unread",
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

    @extend_schema_field({"type": "array", "items": {"type": "string"}})
    def get_encodings(self, record: ContactImport) -> list[str]:
        return list(record.rivals)

    @extend_schema_field({"type": "array", "items": {"type": "object", "additionalProperties": True}})
    def get_open_questions(self, record: ContactImport) -> list[dict[str, Any]]:
        return (record.findings or {}).get("questions", []) if record.state == ImportState.ASKING else []

    @extend_schema_field({"type": "array", "items": {"type": "string"}})
    def get_left_out(self, record: ContactImport) -> list[str]:
        return list((record.findings or {}).get("left_out", []))

    @extend_schema_field({"type": "array", "items": {"type": "string"}})
    def get_warnings(self, record: ContactImport) -> list[str]:
        return selectors.warnings(record)

    @extend_schema_field(
        {"type": "object", "additionalProperties": {"type": "object", "additionalProperties": {"type": "integer"}}}
    )
    def get_checked_by_mode(self, record: ContactImport) -> dict[str, dict[str, int]]:
        return record.counts_by_mode


class UploadSerializer(serializers.Serializer[Any]):
    file = serializers.FileField(allow_empty_file=True, help_text="CSV or XLSX, one contact in each row.")


class ColumnsSerializer(StrictTypesMixin, serializers.Serializer[Any]):
    mapping = serializers.ListField(
        child=serializers.CharField(max_length=60, allow_blank=True),
        max_length=250,
        help_text="A target for each column: a field's key, `cf_` and a custom field's key, `new:` and a type, or nothing.",
    )
    day_format = serializers.ChoiceField(choices=[("", "any"), *((shape, shape) for shape in DAY_FORMATS)], required=False)
    decimal_mark = serializers.ChoiceField(choices=[("", "any"), *((mark, mark) for mark in DECIMAL_MARKS)], required=False)
    region = serializers.RegexField(r"^([A-Z]{2})?$", required=False, allow_blank=True)


class AnswersSerializer(StrictTypesMixin, serializers.Serializer[Any]):
    day_format = serializers.ChoiceField(choices=[(shape, shape) for shape in DAY_FORMATS], required=False)
    decimal_mark = serializers.ChoiceField(choices=[(mark, mark) for mark in DECIMAL_MARKS], required=False)
    region = serializers.RegexField(r"^([A-Z]{2})?$", required=False, allow_blank=True)
    words = serializers.DictField(
        child=serializers.DictField(),
        required=False,
        help_text="By target, meanings of words: a status, the id of an owner, `yes` or `no`; empty for nothing. "
        "The word `*` stands for all that are not named.",
    )


class ReadingSerializer(StrictTypesMixin, serializers.Serializer[Any]):
    encoding = serializers.ChoiceField(choices=list(ENCODINGS.items()), required=False)
    delimiter = serializers.ChoiceField(choices=list(DELIMITERS.items()), required=False)
    sheet = serializers.CharField(max_length=100, required=False)
    header_row = serializers.IntegerField(
        required=False, allow_null=True, min_value=1, max_value=1000, help_text="1 is the first row; null: there is none."
    )


class StartSerializer(StrictTypesMixin, serializers.Serializer[Any]):
    on_duplicate = serializers.ChoiceField(choices=OnDuplicate.choices, default=OnDuplicate.SKIP)
    on_shared = serializers.ChoiceField(choices=OnShared.choices, default=OnShared.CREATE)
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
        if record.encoding_is_sure and not faults and not uploading.questions(record):
            uploading.choose_columns(record=record, mapping=record.mapping, day_format=record.day_format)

    @extend_schema(request=ColumnsSerializer, responses=ContactImportSerializer)
    @action(detail=True, methods=["post"])
    def columns(self, request: Request, pk: str) -> Response:
        """Say what the columns are, and have the whole file checked."""
        record, chosen = self.get_object(), self._read(ColumnsSerializer, request)
        if faults := columns.mapping_faults(chosen["mapping"], record.headers, uploading.custom_fields()):
            raise exceptions.ValidationError({"mapping": faults})
        return self._after(record, lambda: uploading.choose_columns(record=record, **chosen))

    @extend_schema(request=ReadingSerializer, responses=ContactImportSerializer)
    @action(detail=True, methods=["post"])
    def reading(self, request: Request, pk: str) -> Response:
        """Say how the file is cut into rows and cells. Its columns are guessed anew."""
        record, chosen = self.get_object(), self._read(ReadingSerializer, request)
        if chosen.get("sheet") and chosen["sheet"] not in record.sheets:
            raise exceptions.ValidationError({"sheet": ["The workbook has no such sheet."]})
        chosen.setdefault("header_row", record.header_row)
        try:
            return self._after(record, lambda: uploading.change_reading(record=record, **chosen))
        except FileError as error:
            raise exceptions.ValidationError({"detail": str(error)}) from None

    @extend_schema(request=AnswersSerializer, responses=ContactImportSerializer)
    @action(detail=True, methods=["post"])
    def answers(self, request: Request, pk: str) -> Response:
        """Answer what the check asked (`open_questions`), and have the file checked again."""
        record, given = self.get_object(), self._read(AnswersSerializer, request)
        return self._after(record, lambda: uploading.answer_questions(record=record, **given))

    @extend_schema(request=StartSerializer, responses=ContactImportSerializer)
    @action(detail=True, methods=["post"])
    @idempotent
    def start(self, request: Request, pk: str) -> Response:
        """Carry out an import that has been checked (`state` is `ready`)."""
        record, chosen = self.get_object(), self._read(StartSerializer, request)
        how = {name: chosen.pop(name) for name in ("on_duplicate", "on_shared")}
        return self._after(record, lambda: start_import(record=record, **how, defaults=chosen))

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
        return self._rows(was_imported=False)

    @extend_schema(responses=BadRowSerializer(many=True))
    @action(detail=True, url_path="unread-cells", pagination_class=ByNumber)
    def unread_cells(self, request: Request, pk: str) -> Response:
        """The rows that were imported without some of their cells, with the reasons."""
        return self._rows(was_imported=True)

    def _rows(self, *, was_imported: bool) -> Response:
        found: QuerySet[BadRow] = BadRow.objects.filter(contact_import=self.get_object(), was_imported=was_imported)
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
