from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from agents.knowledge.enums import Kind
from agents.knowledge.forms import FileForm, QuestionsForm, TextForm, TryForm, initial_of
from agents.knowledge.models import Document
from agents.knowledge.selectors import document_list, knowledge_state, vectors_missing
from agents.knowledge.services import documents
from agents.knowledge.services.asking import ask_knowledge
from agents.knowledge.services.documents import DocumentError
from agents.organisation.models import agent_settings
from tenants.access import MemberRequest, manager_required
from tenants.audit import record_request
from tenants.enums import AuditAction

PAGE_SIZE = 50
PASSAGES_SHOWN = 30
_FORMS = {Kind.FILE: FileForm, Kind.TEXT: TextForm, Kind.QUESTIONS: QuestionsForm}


@require_GET
@manager_required
def document_index(request: MemberRequest) -> HttpResponse:
    page = Paginator(document_list(), PAGE_SIZE).get_page(request.GET.get("page"))
    context = {"page": page, "state": knowledge_state(), "is_busy": any(document.is_busy for document in page)}
    template = "agents/knowledge/_documents.html" if request.htmx else "agents/knowledge/document_list.html"
    return render(request, template, context)


@require_http_methods(["GET", "POST"])
@manager_required
def document_new(request: MemberRequest, kind: str) -> HttpResponse:
    if kind not in Kind.values:
        raise Http404("no such kind")
    form = _form(Kind(kind), request)
    if request.method == "POST" and form.is_valid():
        try:
            document = _add(Kind(kind), form, request)
        except DocumentError as error:
            form.add_error(None, str(error))
        else:
            _record(request, document, "added")
            messages.success(request, "Processing…")
            return redirect(document)
    context = {"form": form, "kind": Kind(kind)}
    return render(request, "agents/knowledge/document_form.html", context, status=422 if form.errors else 200)


@require_GET
@manager_required
def document_detail(request: MemberRequest, document_id: UUID) -> HttpResponse:
    document = get_object_or_404(Document, pk=document_id)
    more = max(0, document.passages.count() - PASSAGES_SHOWN)
    context = {
        "document": document,
        "passages": document.passages.all()[:PASSAGES_SHOWN],
        "more": more,
        "vectors_missing": vectors_missing(document),
    }
    template = "agents/knowledge/_document.html" if request.htmx else "agents/knowledge/document_detail.html"
    return render(request, template, context)


@require_http_methods(["GET", "POST"])
@manager_required
def document_edit(request: MemberRequest, document_id: UUID) -> HttpResponse:
    document = get_object_or_404(Document, pk=document_id)
    form = _form(Kind(document.kind), request, document)
    if request.method == "POST" and form.is_valid():
        try:
            documents.change_document(
                document=document, values=_values(Kind(document.kind), form), upload=form.cleaned_data.get("file")
            )
        except DocumentError as error:
            form.add_error(None, str(error))
        else:
            _record(request, document, "changed")
            messages.success(request, "Saved.")
            return redirect(document)
    context = {"form": form, "kind": Kind(document.kind), "document": document}
    return render(request, "agents/knowledge/document_form.html", context, status=422 if form.errors else 200)


@require_POST
@manager_required
def document_read(request: MemberRequest, document_id: UUID) -> HttpResponse:
    document = get_object_or_404(Document, pk=document_id)
    documents.read_again(document=document)
    messages.success(request, "Re-indexing…")
    return redirect(document)


@require_POST
@manager_required
def document_switch(request: MemberRequest, document_id: UUID) -> HttpResponse:
    document = get_object_or_404(Document, pk=document_id)
    documents.change_document(document=document, values={"is_active": request.POST.get("on") == "1"})
    _record(request, document, "used" if document.is_active else "not used")
    return redirect(document)


@require_POST
@manager_required
def document_delete(request: MemberRequest, document_id: UUID) -> HttpResponse:
    document = get_object_or_404(Document, pk=document_id)
    _record(request, document, "deleted")
    documents.delete_document(document=document)
    messages.success(request, "Deleted. No agent knows it any more.")
    return redirect("knowledge:document-list")


@require_GET
@manager_required
def try_question(request: MemberRequest) -> HttpResponse:
    form = TryForm(request.GET or None)
    search = None
    if request.GET and form.is_valid():
        earlier = [form.cleaned_data["earlier"]] if form.cleaned_data["earlier"] else []
        search = ask_knowledge(question=form.cleaned_data["q"], earlier=earlier)
    context = {"form": form, "search": search, "fallback": agent_settings().nothing_found_text, "state": knowledge_state()}
    return render(request, "agents/knowledge/try.html", context)


def _form(kind: Kind, request: MemberRequest, document: Document | None = None) -> Any:
    data = request.POST if request.method == "POST" else None
    initial = initial_of(document) if document is not None else None
    if kind is Kind.FILE:
        form = FileForm(data, request.FILES or None, initial=initial)
        form.fields["file"].required = document is None
        return form
    if kind is Kind.QUESTIONS:
        return QuestionsForm(data, pairs=document.questions if document else None, initial=initial)
    return TextForm(data, initial=initial)


def _add(kind: Kind, form: Any, request: MemberRequest) -> Document:
    data = form.cleaned_data
    about = {"title": data["title"], "language": data["language"], "by": request.user}
    if kind is Kind.FILE:
        return documents.add_file(upload=data["file"], **about)
    if kind is Kind.QUESTIONS:
        return documents.add_questions(questions=form.pairs(), **about)
    return documents.add_text(text=data["text"], **about)


def _values(kind: Kind, form: Any) -> dict[str, Any]:
    data = form.cleaned_data
    values = {"language": data["language"]}
    if data["title"]:
        values["title"] = data["title"]
    if kind is Kind.TEXT:
        values["text"] = data["text"]
    if kind is Kind.QUESTIONS:
        values["questions"] = form.pairs()
    return values


def _record(request: MemberRequest, document: Document, what: str) -> None:
    record_request(request, AuditAction.KNOWLEDGE_CHANGED, target=f"{document.title[:120]}: {what}")
