"""What the addresses of this product take in one request. Whatever is not named here takes `thanos.bodies.DEFAULT`."""

from __future__ import annotations

import re

from django.conf import settings

from crm.email.webhooks import EVENTS_MAX_BYTES, INBOUND_MAX_BYTES
from thanos.bodies import KB, MB, Limit

FORM = MB  # what else is in the form of an upload

BODY_LIMITS = [
    Limit(re.compile(r"/api/webhooks/sendgrid/inbound/"), INBOUND_MAX_BYTES, for_known_only=False),  # e-mails
    Limit(re.compile(r"/api/webhooks/sendgrid$"), EVENTS_MAX_BYTES, for_known_only=False),  # a thousand events
    Limit(re.compile(r"/api/webhooks/.*stripe"), 2 * MB, for_known_only=False),  # an invoice of many lines
    Limit(re.compile(r"/api/webhooks/"), 64 * KB, for_known_only=False),  # the carrier's forms
    Limit(re.compile(r"/(health|metrics)"), 64 * KB, for_known_only=False),
    Limit(re.compile(r"/crm/imports/new/|/api/v1/imports/"), settings.IMPORT_MAX_BYTES + FORM),
    Limit(re.compile(r"/agents/knowledge/|/api/v1/documents/"), settings.KNOWLEDGE_MAX_BYTES + FORM),
    # Several files may be attached at once.
    Limit(re.compile(r"/crm/(interactions|contacts|companies)/"), 5 * settings.ATTACHMENT_MAX_BYTES + FORM),
    Limit(re.compile(r"/api/v1/interactions/"), 5 * settings.ATTACHMENT_MAX_BYTES + FORM),
]
