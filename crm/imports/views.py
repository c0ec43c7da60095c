from __future__ import annotations

from datetime import date
from typing import Any

from django.contrib import messages
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.csrf import csrf_exempt, csrf_protect
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from crm.imports import exporting, selectors
from crm.imports.encodings import ENCODINGS
from crm.imports.enums import FileKind
from crm.imports.errors import FileError, ImportStateError
from crm.imports.forms import ColumnsForm, QuestionsForm, ReadingForm, RegionForm, StartForm, UploadForm
from crm.imports.models import ContactImport
from crm.imports.sealed import BLOCK
from crm.imports.services.running import cancel_import, start_import
from crm.imports.services.undoing import start_undo
from crm.imports.services.uploading import (
    answer_questions,
    change_reading,
    choose_columns,
    is_open,
    too_large,
    upload_import,
)
from crm.imports.streaming import stream
from crm.imports.uploads import BoundedUploadHandler, bound_upload, says_too_large
from crm.imports.vocabulary import preset_of
from tenants.access import MemberRequest, manager_required
from tenants.audit import record_request
from tenants.enums import AuditAction

CSV_TYPE = "text/csv; charset=utf-8"
XLSX_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


@require_GET
@manager_required
def import_list(request: MemberRequest) -> HttpResponse:
    return render(request, "crm/imports/list.html", {"imports": selectors.recent_imports(), "form": UploadForm()})


# The token is in the same form as the file, and reading the form reads the file: the handler that bounds it has to be
# there first, so the check of the token comes behind it.
@csrf_exempt
@require_http_methods(["GET", "POST"])
@manager_required
def import_upload(request: MemberRequest) -> HttpResponseBase:
    if request.method == "GET":
        return render(request, "crm/imports/upload.html", {"form": UploadForm()})
    if says_too_large(request):
        return _refused(request, too_large(), status=413)
    return _receive(request, bound_upload(request))


@csrf_protect
def _receive(request: MemberRequest, handler: BoundedUploadHandler) -> HttpResponse:
    form = UploadForm(request.POST, request.FILES)
    if handler.is_too_large:
        return _refused(request, too_large(), status=413)
    if not form.is_valid():
        return render(request, "crm/imports/upload.html", {"form": form}, status=400)
    file: UploadedFile[Any] = form.cleaned_data["file"]
    try:
        record = upload_import(chunks=file.chunks(BLOCK), name=file.name or "", by=request.user)
    except FileError as error:
        return _refused(request, str(error), status=400)
    return redirect(record)


def _refused(request: MemberRequest, reason: str, *, status: int) -> HttpResponse:
    return render(request, "crm/imports/upload.html", {"form": UploadForm(), "reason": reason}, status=status)


@require_GET
@manager_required
def import_detail(request: MemberRequest, import_id: int) -> HttpResponse:
    record = get_object_or_404(ContactImport, pk=import_id)
    if request.htmx:  # the progress bar asks how far it is; when that is over, the page changes
        response = render(request, "crm/imports/_progress.html", {"import": record})
        if not record.is_busy:
            response["HX-Refresh"] = "true"
        return response
    return _page(request, record)


def _page(request: MemberRequest, record: ContactImport, *, status: int = 200, **forms: Any) -> HttpResponse:
    context: dict[str, Any] = {
        "import": record,
        "is_open": is_open(record),
        "shown": selectors.shown_outcomes(record),
        "preset": preset_of(record.preset),
    }
    wants_columns = record.state == "uploaded" or "columns" in request.GET or "columns_form" in forms
    try:
        if is_open(record) and (wants_columns or record.state == "failed"):
            context["reading_form"] = ReadingForm(record=record)
            context["columns_form"] = ColumnsForm(record=record, samples=selectors.samples(record))
            context["encoding_name"] = ENCODINGS.get(record.encoding, record.encoding)
            if not record.encoding_is_sure:
                context["encoding_examples"] = selectors.encoding_examples(record)
        elif record.state == "asking":
            context["questions_form"] = QuestionsForm(record=record)
        elif record.state == "ready":
            context |= {"preview": selectors.preview(record), "start_form": StartForm(record=record)}
        if record.state in ("asking", "ready"):
            context["warnings"] = selectors.warnings(record)
        if record.state == "ready" and (record.findings or {}).get("no_country"):
            context["region_form"] = RegionForm(record=record)
    except FileError as error:
        context["reason"] = str(error)
    return render(request, "crm/imports/detail.html", context | forms, status=status)


@require_POST
@manager_required
def import_reading(request: MemberRequest, import_id: int) -> HttpResponse:
    record = get_object_or_404(ContactImport, pk=import_id)
    form = ReadingForm(request.POST, record=record)
    if not form.is_valid():
        return _page(request, record, status=400, reading_form=form)
    try:
        change_reading(record=record, **form.cleaned_data)
    except (FileError, ImportStateError) as error:
        messages.error(request, str(error))
    return redirect(record)


@require_POST
@manager_required
def import_columns(request: MemberRequest, import_id: int) -> HttpResponse:
    record = get_object_or_404(ContactImport, pk=import_id)
    try:
        form = ColumnsForm(request.POST, record=record, samples=selectors.samples(record))
        if not form.is_valid():
            return _page(request, record, status=400, columns_form=form)
        chosen = form.cleaned_data
        how = {name: chosen[name] for name in ("day_format", "decimal_mark", "region")}
        choose_columns(record=record, mapping=form.mapping, **how)
    except ImportStateError as error:
        form.add_error(None, str(error))
        return _page(request, record, status=400, columns_form=form)
    except FileError as error:
        messages.error(request, str(error))
    return redirect(record)


@require_POST
@manager_required
def import_answers(request: MemberRequest, import_id: int) -> HttpResponse:
    record = get_object_or_404(ContactImport, pk=import_id)
    kind = RegionForm if record.state == "ready" else QuestionsForm
    form = kind(request.POST, record=record)
    if not form.is_valid():
        return _page(request, record, status=400, **{"region_form" if kind is RegionForm else "questions_form": form})
    try:
        answer_questions(record=record, **form.answers)
    except ImportStateError as error:
        messages.error(request, str(error))
    return redirect(record)


@require_POST
@manager_required
def import_start(request: MemberRequest, import_id: int) -> HttpResponse:
    record = get_object_or_404(ContactImport, pk=import_id)
    form = StartForm(request.POST, record=record)
    if not form.is_valid():
        return _page(request, record, status=400, start_form=form)
    try:
        how = {name: form.cleaned_data[name] for name in ("on_duplicate", "on_shared") if form.cleaned_data.get(name)}
        start_import(record=record, **how, defaults=form.defaults)
    except ImportStateError as error:
        messages.error(request, str(error))
    return redirect(record)


@require_POST
@manager_required
def import_cancel(request: MemberRequest, import_id: int) -> HttpResponse:
    record = get_object_or_404(ContactImport, pk=import_id)
    try:
        cancel_import(record=record)
    except ImportStateError as error:
        messages.error(request, str(error))
    return redirect(record)


@require_POST
@manager_required
def import_undo(request: MemberRequest, import_id: int) -> HttpResponse:
    record = get_object_or_404(ContactImport, pk=import_id)
    try:
        start_undo(record=record)
    except ImportStateError as error:
        messages.error(request, str(error))
    return redirect(record)


@require_GET
@manager_required
def import_bad_rows(request: MemberRequest, import_id: int) -> HttpResponseBase:
    record = get_object_or_404(ContactImport, pk=import_id)
    record_request(request, AuditAction.CONTACTS_EXPORTED, target=f"bad rows of import {record.pk}")
    pieces = exporting.export_bad_rows(record)
    return stream(request, pieces, name=f"bad-rows-{record.pk}.csv", content_type=CSV_TYPE)


@require_GET
@manager_required
def import_unread_cells(request: MemberRequest, import_id: int) -> HttpResponseBase:
    record = get_object_or_404(ContactImport, pk=import_id)
    record_request(request, AuditAction.CONTACTS_EXPORTED, target=f"unread cells of import {record.pk}")
    pieces = exporting.export_bad_rows(record, was_imported=True)
    return stream(request, pieces, name=f"unread-cells-{record.pk}.csv", content_type=CSV_TYPE)


@require_GET
@manager_required
def contact_export(request: MemberRequest) -> HttpResponseBase:
    """The contacts of a list, as its address filters them."""
    from crm.selectors.contacts import FilterError, contacts_for  # the room above, which links here

    query = request.GET.copy()
    kind = query.pop("format", ["csv"])[-1]
    if kind not in FileKind.values:
        return HttpResponse("The format is csv or xlsx.", status=400, content_type="text/plain")
    try:
        contacts = contacts_for(query, tenant=request.tenant, user=request.user, strict=True)
    except FilterError as error:
        messages.error(request, str(error))
        return redirect("crm:contact-list")
    ids = exporting.ids_of(contacts)
    if kind == FileKind.XLSX and len(ids) > exporting.MAX_XLSX_ROWS:
        text = f"A workbook holds {exporting.MAX_XLSX_ROWS:,} rows. Export as CSV, or filter the list."
        return HttpResponse(text, status=400, content_type="text/plain")
    record_request(request, AuditAction.CONTACTS_EXPORTED, target=f"{len(ids)} contacts as {kind}")
    name = f"contacts-{date.today():%Y-%m-%d}.{kind}"
    if kind == FileKind.XLSX:
        return stream(request, exporting.export_xlsx(ids), name=name, content_type=XLSX_TYPE)
    return stream(request, exporting.export_csv(ids), name=name, content_type=CSV_TYPE)
