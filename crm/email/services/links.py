"""Links and addresses in a message that lead back to it, readable by us alone and by nobody to be made up."""

from __future__ import annotations

import base64
import binascii
import hmac
from uuid import UUID

from django.conf import settings
from django.core import signing
from django.utils.crypto import salted_hmac

from tenants.context import NoTenantError, current_schema

_SALT = "crm_email.links"
_REPLY_SALT = "crm_email.replies"
_PREFIX = "r+"
_DIGEST_BYTES = 8  # 64 bits: a guess costs a delivered e-mail each, and the whole has to fit into 64 characters


class LinkError(ValueError):
    """The token is not one of ours."""


def unsubscribe_url(message_id: UUID | str) -> str:
    """Return where one click, or a mail program's POST, ends all e-mail to this message's recipient."""
    return f"{settings.PUBLIC_URL}/mail/u/{_token(message_id)}"


def preferences_url(message_id: UUID | str) -> str:
    return f"{settings.PUBLIC_URL}/mail/p/{_token(message_id)}"


def _token(message_id: UUID | str) -> str:
    return signing.dumps([_schema(), UUID(str(message_id)).hex], salt=_SALT)


def _schema() -> str:
    schema = current_schema()
    if schema is None:
        raise NoTenantError("no tenant is entered")
    return schema


def read_token(token: str) -> tuple[str, UUID]:
    """Return the schema and the message a link belongs to, however old it is. Raises LinkError."""
    try:
        schema, message = signing.loads(token, salt=_SALT)
        return str(schema), UUID(message)
    except (signing.BadSignature, ValueError, TypeError, AttributeError):
        raise LinkError("This link is not complete, or not ours.") from None


def reply_address(message_id: UUID | str) -> str:
    """Return where an answer to this message is read by us; "" when the installation takes no mail in.

    The part before the @ is of lower-case letters and digits, because mail servers may change the case; and it has to
    fit into 64 characters, so the schema is left out when it is too long for that, and so is the whole address.
    """
    host = settings.ENV.inbound_email_host
    if not host:
        return ""
    local = _PREFIX + _reply_token(_schema(), UUID(str(message_id)))
    return f"{local}@{host}" if len(local) <= 64 else ""


def _reply_token(schema: str, message_id: UUID) -> str:
    head = message_id.bytes + schema.encode()
    return base64.b32encode(_digest(head) + head).decode().rstrip("=").lower()


def _digest(head: bytes) -> bytes:
    return salted_hmac(_REPLY_SALT, head, algorithm="sha256").digest()[:_DIGEST_BYTES]


def read_reply_address(address: str) -> tuple[str, UUID] | None:
    """Return the schema and the message an address was made for; None for any other address."""
    local, _, host = address.strip().strip("<>").lower().rpartition("@")
    if not local.startswith(_PREFIX) or host != settings.ENV.inbound_email_host.lower() or not host:
        return None
    token = local.removeprefix(_PREFIX).upper()
    try:
        raw = base64.b32decode(token + "=" * (-len(token) % 8))
        digest, head = raw[:_DIGEST_BYTES], raw[_DIGEST_BYTES:]
        if len(head) <= 16 or not hmac.compare_digest(digest, _digest(head)):
            return None
        return head[16:].decode(), UUID(bytes=head[:16])
    except (binascii.Error, ValueError):
        return None
