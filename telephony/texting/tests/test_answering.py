"""The line's agent answers texts: once each, within limits, until a person does or is asked for."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from agents.chat.tests.test_answering import Thought  # the stand-in's exact answers
from billing.models import LedgerEntry
from crm.models import Contact
from sandbox.models.account import Fault, Kind
from telephony.models import Line
from telephony.texting import tasks
from telephony.texting.enums import Answering, Author, State, Stopped
from telephony.texting.models import Conversation, Message
from telephony.texting.services.answering import ATTEMPTS, answer_text, unanswered_texts
from telephony.texting.services.setup import texting_settings
from telephony.texting.tests.factories import OURS, THEIRS, receive, send
from tenants.context import entered

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("one_connection")]
