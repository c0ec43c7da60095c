from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from uuid import UUID

from channels.db import database_sync_to_async
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST
from redis.exceptions import RedisError

from agents.chat import selectors, stream
from agents.chat.forms import MessageForm
from agents.chat.models import Conversation, Message
from agents.chat.services import conversations
from agents.chat.services.conversations import ChatError
from tenants.access import MemberRequest, member_required
from tenants.context import in_tenant
from tenants.models import Tenant

LONGEST_STREAM = 30  # empty waits in a row, of ten seconds each


@require_http_methods(["GET", "POST"])
@member_required
def start(request: MemberRequest) -> HttpResponse:
    if request.method == "POST":
        slug = request.POST.get("agent", "")
        agent = selectors.agent_to_talk_to(request.tenant, slug) if slug else None
        if slug and agent is None:
            raise Http404("no such agent here")
        conversation = conversations.start_conversation(user=request.user, agent=agent)
        if text := request.POST.get("text", "").strip():
            _send(request, conversation, text)
        return redirect(conversation)
    context = {
        "agents": selectors.agents_to_talk_to(request.tenant),
        "conversations": selectors.conversations_of(request.user)[: selectors.SHOWN],
        "form": MessageForm(),
    }
    return render(request, "agents/chat/start.html", context)


@require_GET
@member_required
def conversation_detail(request: MemberRequest, conversation_id: UUID) -> HttpResponse:
    conversation = _find(request, conversation_id)
    said = selectors.messages_of(conversation)
    context = {
        "conversation": conversation,
        "messages_said": said,
        "last": said[-1] if said else None,
        "agents": selectors.agents_to_talk_to(request.tenant),
        "conversations": selectors.conversations_of(request.user)[: selectors.SHOWN],
        "form": MessageForm(),
    }
    return render(request, "agents/chat/conversation.html", context)


@require_POST
@member_required
def message_send(request: MemberRequest, conversation_id: UUID) -> HttpResponse:
    conversation = _find(request, conversation_id)
    _send(request, conversation, request.POST.get("text", ""))
    return redirect(f"{conversation.get_absolute_url()}#last")


@require_POST
@member_required
def agent_choose(request: MemberRequest, conversation_id: UUID) -> HttpResponse:
    conversation = _find(request, conversation_id)
    slug = request.POST.get("agent", "")
    agent = selectors.agent_to_talk_to(request.tenant, slug) if slug else None
    if slug and agent is None:
        raise Http404("no such agent here")
    conversations.choose_agent(conversation=conversation, agent=agent)
    return redirect(conversation)


@require_POST
@member_required
def answer_retry(request: MemberRequest, conversation_id: UUID, message_id: UUID) -> HttpResponse:
    message = _find_message(request, conversation_id, message_id)
    try:
        conversations.retry_answer(message=message)
    except ChatError as error:
        messages.error(request, str(error))
    return redirect(f"{message.conversation.get_absolute_url()}#last")


@require_POST
@member_required
def answer_stop(request: MemberRequest, conversation_id: UUID, message_id: UUID) -> HttpResponse:
    message = _find_message(request, conversation_id, message_id)
    conversations.stop_answer(message=message)
    return HttpResponse(status=204) if request.htmx else redirect(message.conversation)


@require_POST
@member_required
def conversation_delete(request: MemberRequest, conversation_id: UUID) -> HttpResponse:
    conversations.delete_conversation(conversation=_find(request, conversation_id))
    messages.success(request, "Deleted.")
    return redirect("chat:start")


@require_GET
@member_required
def message_detail(request: MemberRequest, conversation_id: UUID, message_id: UUID) -> HttpResponse:
    """One message as the page shows it, fetched when its answer is whole."""
    message = _find_message(request, conversation_id, message_id)
    return render(
        request, "agents/chat/_message.html", {"message": message, "conversation": message.conversation, "last": message}
    )


@require_GET
async def message_stream(request: HttpRequest, conversation_id: UUID, message_id: UUID) -> HttpResponseBase:
    """Server-sent events: what is being written, from its beginning or from `Last-Event-ID`."""
    tenant = getattr(request, "tenant", None)
    allowed = await database_sync_to_async(_may_follow, thread_sensitive=True)(request, conversation_id, message_id)
    if not allowed or not isinstance(tenant, Tenant):
        raise Http404("no such message")
    after = request.headers.get("Last-Event-ID", "0-0")
    return stream_response(tenant, message_id, after)


def stream_response(tenant: Tenant, message_id: UUID, after: str) -> StreamingHttpResponse:
    """Return the answer's pieces as server-sent events; whether they may be seen is for the caller to have asked."""
    response = StreamingHttpResponse(_events(tenant, message_id, after), content_type="text/event-stream")
    response["Cache-Control"] = "no-store"
    response["X-Accel-Buffering"] = "no"
    return response


def _may_follow(request: HttpRequest, conversation_id: UUID, message_id: UUID) -> bool:
    membership = getattr(request, "membership", None)
    if membership is None:
        return False
    return Message.objects.filter(
        pk=message_id, conversation=conversation_id, conversation__user=membership.user_id
    ).exists()


async def _events(tenant: Tenant, message_id: UUID, after: str) -> AsyncGenerator[str, None]:
    """Yield events until the answer is whole. Without Redis, or for an answer that is over, say that it is over."""
    empty = 0
    try:
        async for entry in stream.read(message_id, after=after if _is_id(after) else "0-0"):
            if entry is None:
                empty += 1
                yield ": still here\n\n"
                if empty >= LONGEST_STREAM or await in_tenant(tenant, _is_over, message_id):
                    break
                continue
            empty = 0
            identifier, body = entry
            yield f"id: {identifier}\nevent: {body['kind']}\ndata: {json.dumps(body)}\n\n"
            if body["kind"] == "end":
                return
    except RedisError:
        pass
    yield f"event: end\ndata: {json.dumps({'kind': 'end', 'state': 'unknown'})}\n\n"


def _is_over(message_id: UUID) -> bool:
    message = Message.objects.filter(pk=message_id).first()
    return message is None or not message.is_unfinished


def _is_id(text: str) -> bool:
    first, dash, second = text.partition("-")
    return bool(dash) and first.isdecimal() and second.isdecimal() and len(text) < 40


def _send(request: MemberRequest, conversation: Conversation, text: str) -> None:
    try:
        conversations.send_message(conversation=conversation, text=text)
    except ChatError as error:
        messages.error(request, str(error))


def _find(request: MemberRequest, conversation_id: UUID) -> Conversation:
    conversation = selectors.find_conversation(request.user, conversation_id)
    if conversation is None:
        raise Http404("no such conversation")
    return conversation


def _find_message(request: MemberRequest, conversation_id: UUID, message_id: UUID) -> Message:
    conversation = _find(request, conversation_id)
    return get_object_or_404(conversation.messages.select_related("conversation"), pk=message_id)
