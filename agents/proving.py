"""Does the caller know what only the contact would? A number can be forged, so it opens nothing by itself.

A caller proves who they are by a second fact that the contact has on file: their e-mail address or postal code. Tries are
few for each call, and for each contact a day, because facts as short as a postal code could be guessed otherwise.
"""

from __future__ import annotations

import logging

from redis.exceptions import RedisError

from agents.organisation.models import agent_settings
from agents.tools import ToolContext
from base.addresses import comparable
from base.words import fold
from crm.models import Contact
from thanos.redis import sync_client

logger = logging.getLogger("agents")

TRIES_A_CALL = 3
TRIES_A_DAY = 9  # for one contact, by whoever
CALL_S = 6 * 60 * 60
DAY_S = 24 * 60 * 60
LEAST = 4  # characters of a postal code that say something


def has_proved(context: ToolContext, contact: Contact, fact: str) -> bool:
    """Tell whether details of the contact may be told in this conversation, after looking at the fact, if one is given.

    Once proved, it holds for the rest of the conversation. Without Redis nothing is proved: tries could not be counted.
    """
    if context.knows_caller:
        return True
    kept = f"proved:{context.schema}:{context.call_id}:{contact.pk}"
    try:
        redis = sync_client()
        if redis.exists(kept):
            return True
        if not fact.strip() or not _may_try(context, contact):
            return False
        if not knows(contact, fact):
            return False
        redis.set(kept, 1, ex=CALL_S)
    except RedisError:
        logger.warning("A caller's proof could not be looked at: Redis is away.")
        return False
    return True


def knows(contact: Contact, fact: str) -> bool:
    """Tell whether what was said is the contact's e-mail address or postal code, as people say and models write them."""
    postal = _letters(contact.postal_code)
    if len(postal) >= LEAST and _letters(fact) == postal:
        return True
    return bool(contact.contact_email) and comparable(fact.strip(" .")) == comparable(contact.contact_email)


def _letters(text: str) -> str:
    return "".join(character for character in fold(text) if character.isalnum())


def unproved(contact: Contact) -> dict[str, object]:
    """Return what a tool answers instead of details: what to ask for, or that nothing on file could prove it."""
    can_prove = bool(contact.contact_email) or len(_letters(contact.postal_code)) >= LEAST
    return {"needs_proof": can_prove, "say": agent_settings().proof_text if can_prove else agent_settings().no_proof_text}


def _may_try(context: ToolContext, contact: Contact) -> bool:
    """Count a try, and tell whether it was among those that are allowed."""
    limits = {
        f"proving:{context.schema}:{context.call_id}": (TRIES_A_CALL, CALL_S),
        f"proving:{context.schema}:contact:{contact.pk}": (TRIES_A_DAY, DAY_S),
    }
    allowed = True
    for key, (most, seconds) in limits.items():
        count = int(sync_client().incr(key))  # type: ignore[arg-type]
        if count == 1:
            sync_client().expire(key, seconds)
        allowed = allowed and count <= most
    return allowed
