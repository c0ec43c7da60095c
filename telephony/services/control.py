"""Messages to the worker that holds a live call, and to the pages that watch it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from redis.exceptions import RedisError

from telephony.enums import Direction, EndedReason, NextStep
from telephony.models import Call
from telephony.services.carrier import carrier
from telephony.twilio.errors import TelephonyError

logger = logging.getLogger("telephony")


SEND_TIMEOUT_S = 1.0


class NotLiveError(ValueError):
    """The call is over, or nobody carries it."""


def tell_call(call: Call, message: dict[str, Any]) -> bool:
    """Send to the worker that holds the call, if any; return whether the message left."""
    return _send(call.control_group, message)


def tell_watchers(call: Call, message: dict[str, Any]) -> bool:
    return _send(call.live_group, message)


def _send(group: str, message: dict[str, Any]) -> bool:
    async def send() -> None:
        async with asyncio.timeout(SEND_TIMEOUT_S):
            await get_channel_layer().group_send(group, message)

    try:
        async_to_sync(send)()
    except (RedisError, OSError, TimeoutError):
        logger.warning("A message to a live call was lost: Redis is away.")
        return False
    return True


def hang_up_call(*, call: Call, reason: EndedReason = EndedReason.OPERATOR_HUNG_UP) -> None:
    """End a live call at once: through its media stream, and through the carrier for one that has none.

    Raises NotLiveError or TelephonyError.
    """
    if not Call.objects.open().filter(pk=call.pk).update(closing_reason=reason, next_step=NextStep.HANG_UP):
        raise NotLiveError("This call is over already.")
    told = tell_call(call, {"type": "call.hang_up"})
    if call.direction != Direction.BROWSER:
        try:
            carrier().hang_up(call.call_sid)
        except TelephonyError:
            if not told:
                raise


def hang_up_everybody(*, calls: Sequence[Call], reason: EndedReason) -> None:
    """End many calls at once: every worker is told before the carrier is asked, and the carrier in parallel."""
    pks = [call.pk for call in calls]
    Call.objects.open().filter(pk__in=pks).update(closing_reason=reason, next_step=NextStep.HANG_UP)
    for call in calls:
        tell_call(call, {"type": "call.hang_up"})
    at_carrier = [call.call_sid for call in calls if call.direction != Direction.BROWSER]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(_hang_up_at_carrier, at_carrier))


def _hang_up_at_carrier(call_sid: str) -> None:
    try:
        carrier().hang_up(call_sid)
    except TelephonyError:
        logger.warning("The carrier did not end a call; the sweep asks it again.")


def say_in_call(*, call: Call, text: str) -> None:
    """Have the agent say a sentence now. Raises NotLiveError."""
    if not call.is_open or not tell_call(call, {"type": "call.say", "text": text}):
        raise NotLiveError("This call is over already.")


def type_in_call(*, call: Call, text: str) -> None:
    """Take text as the words of a test call's caller. Raises NotLiveError."""
    if not call.is_open or not tell_call(call, {"type": "call.user_text", "text": text}):
        raise NotLiveError("This call is over already.")
