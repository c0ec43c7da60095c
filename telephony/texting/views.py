"""Pages of text messages, for those who may see contacts."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from crm.models import Contact
from crm.models.setup import crm_settings
from telephony.texting import selectors
from telephony.texting.enums import Author, Consent, ConsentSource, State, Stopped
from telephony.texting.forms import NewTextForm, SettingsForm, TextForm
from telephony.texting.models import Conversation, Message
from telephony.texting.services.answering import let_agent_answer
from telephony.texting.services.consent import note_wish, wish_of
from telephony.texting.services.conversations import mark_read
from telephony.texting.services.limits import own_numbers
from telephony.texting.services.receiving import agents_line
from telephony.texting.services.sending import deliver, why_not, write_text
from telephony.texting.services.setup import texting_settings
from tenants.access import MemberRequest, manager_required
from tenants.audit import record_request
from tenants.enums import AuditAction


@require_GET
@manager_required
def conversation_list(request: MemberRequest) -> HttpResponse:
    query, unread = request.GET.get("q", ""), request.GET.get("unread") == "1"
    found = selectors.find_conversations(query, unread=unread, region=crm_settings().phone_region)
    page = selectors.page_of_conversations(found, request.GET.get("cursor"))
    carried = request.GET.copy()
    carried.pop("cursor", None)
    context = {
        "page": page,
        "query": query,
        "unread": unread,
        "carried": carried.urlencode(),
        "numbers": sorted(own_numbers()),
    }
    return render(request, "telephony/texting/_rows.html" if request.htmx else "telephony/texting/list.html", context)


def _before(request: HttpRequest) -> int | None:
    text = request.GET.get("before", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


@require_http_methods(["GET", "POST"])
@manager_required
def thread(request: MemberRequest, conversation_id: int) -> HttpResponse:
    """A conversation. Whoever opens it has read it."""
    conversation = get_object_or_404(Conversation.objects.select_related("contact"), pk=conversation_id)
    form = TextForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        _send(request, form, own_number=conversation.own_number, to=conversation.other)
        return redirect(conversation)
    if request.method == "GET" and not request.htmx:
        mark_read(conversation=conversation)
    context = {
        "conversation": conversation,
        "thread": selectors.thread(conversation, before=_before(request)),
        "form": form,
        "refusal": why_not(own_number=conversation.own_number, to=conversation.other),
        "wish": wish_of(conversation.other),
        "line": agents_line(conversation),
    }
    name = "telephony/texting/_messages.html" if request.htmx else "telephony/texting/thread.html"
    return render(request, name, context, status=422 if form.errors else 200)


def _send(request: MemberRequest, form: TextForm, *, own_number: str, to: str) -> Message:
    """Send what a form says, and tell how that went."""
    key = form.cleaned_data["key"]
    message, is_new = write_text(
        own_number=own_number,
        to=to,
        text=form.cleaned_data["text"],
        author=Author.PERSON,
        by=request.user,
        key=f"form:{key}" if key else None,
    )
    if is_new:
        message = deliver(message_id=message.pk)
        if message.state in (State.BLOCKED, State.FAILED):
            messages.error(request, f"Not sent. {message.problem}".strip())
        elif message.state == State.UNCERTAIN:
            messages.warning(request, "The carrier did not answer, so it may have been sent. Do not send it again yet.")
    return message


@require_http_methods(["GET", "POST"])
@manager_required
def text_new(request: MemberRequest) -> HttpResponse:
    """Write to a contact (`?contact=`), or to a number."""
    pk = request.GET.get("contact", "")
    is_key = pk.isascii() and pk.isdigit() and len(pk) < 19
    contact = get_object_or_404(Contact.objects.live(), pk=int(pk)) if is_key else None
    own = sorted(own_numbers())
    numbers = selectors.numbers_of(contact) if contact is not None else []
    known = Conversation.objects.filter(contact=contact).first() if contact is not None else None
    form = NewTextForm(
        request.POST or None,
        own_numbers=own,
        numbers=numbers,
        region=crm_settings().phone_region,
        initial={"from_number": known.own_number if known is not None else None},
    )
    if request.method == "POST" and form.is_valid():
        message = _send(request, form, own_number=form.cleaned_data["from_number"], to=form.cleaned_data["to"])
        return redirect(message.conversation)
    refusal = why_not(own_number=known.own_number if known else own[0], to=numbers[0]) if own and numbers else None
    context = {"form": form, "contact": contact, "own_numbers": own, "numbers": numbers, "refusal": refusal}
    return render(request, "telephony/texting/new.html", context, status=422 if form.errors else 200)


@require_POST
@manager_required
def conversation_unread(request: MemberRequest, conversation_id: int) -> HttpResponse:
    conversation = get_object_or_404(Conversation, pk=conversation_id)
    mark_read(conversation=conversation, is_read=False)
    return redirect("texting:list")


@require_POST
@manager_required
def conversation_agent(request: MemberRequest, conversation_id: int) -> HttpResponse:
    """Let the agent answer this conversation again, or no longer."""
    conversation = get_object_or_404(Conversation, pk=conversation_id)
    if conversation.agent_stopped:
        let_agent_answer(conversation=conversation)
        messages.success(request, "The agent answers what comes in from now on.")
    else:
        Conversation.objects.filter(pk=conversation.pk).update(agent_stopped=Stopped.PERSON)
        messages.success(request, "The agent no longer answers here.")
    return redirect(conversation)


@require_POST
@manager_required
def conversation_wish(request: MemberRequest, conversation_id: int) -> HttpResponse:
    """Note that they want no texts, or take back what a person noted. What they wrote only they take back."""
    conversation = get_object_or_404(Conversation, pk=conversation_id)
    wish = wish_of(conversation.other)
    stands = wish is not None and wish.consent == Consent.STOP
    if stands and wish is not None and wish.source != ConsentSource.PERSON:
        messages.error(request, "They asked for it themselves. They can write START to get texts again.")
        return redirect(conversation)
    note_wish(
        number=conversation.other,
        consent=Consent.START if stands else Consent.STOP,
        source=ConsentSource.PERSON,
        own_number=conversation.own_number,
        by=request.user,
    )
    messages.success(request, "They can get texts again." if stands else "Noted: no more texts to them.")
    return redirect(conversation)


@require_http_methods(["GET", "POST"])
@manager_required
def settings_edit(request: MemberRequest) -> HttpResponse:
    form = SettingsForm(request.POST or None, instance=texting_settings())
    if request.method == "POST" and form.is_valid():
        form.save()
        record_request(request, AuditAction.SETTINGS_CHANGED, target=f"texts: {', '.join(form.changed_data)}"[:200])
        messages.success(request, "Saved. The next text uses it.")
        return redirect("texting:settings")
    return render(request, "telephony/texting/settings.html", {"form": form}, status=422 if form.errors else 200)
