from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from telephony.texting.models import Conversation


def unread_texts(request: HttpRequest) -> dict[str, Any]:
    """How many conversations nobody has read, for the badge in the navigation; asked only where that is drawn."""
    membership = getattr(request, "membership", None)
    if membership is None or not membership.can_manage:
        return {}
    return {"texts_unread": SimpleLazyObject(lambda: Conversation.objects.unread().count())}
