"""What was said so far in a call, wherever it is at the moment: for the worker that takes the call up again."""

from __future__ import annotations

import logging

from redis.exceptions import RedisError

from telephony.engines.base import Utterance
from telephony.enums import Role
from telephony.models import Call
from telephony.transcripts.batch import pending_entries

logger = logging.getLogger("telephony.transcripts")


def said_so_far(call: Call) -> tuple[Utterance, ...]:
    said = {message.sequence: (message.role, message.text) for message in call.messages.all()}
    try:
        for entry in pending_entries(str(call.pk)):
            if entry.kind == "message":
                said[entry.sequence] = (entry.body["role"], entry.body["text"])
    except RedisError:
        logger.warning("Redis is away: the last words may be missing from the history.", extra={"call": str(call.pk)})
    return tuple(Utterance("user" if role == Role.USER else "assistant", text) for _, (role, text) in sorted(said.items()))
