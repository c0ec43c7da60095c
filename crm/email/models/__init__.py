from crm.email.models.domains import EmailDomain
from crm.email.models.events import EmailEvent, InboundEmail
from crm.email.models.mailings import Mailing
from crm.email.models.messages import EmailMessage, SendBatch
from crm.email.models.sequences import Enrolment, Sequence, SequenceStep
from crm.email.models.setup import EmailSettings
from crm.email.models.suppressions import Suppression
from crm.email.models.templates import EmailTemplate, EmailTemplateVersion

__all__ = [
    "EmailDomain",
    "EmailEvent",
    "EmailMessage",
    "EmailSettings",
    "EmailTemplate",
    "EmailTemplateVersion",
    "Enrolment",
    "InboundEmail",
    "Mailing",
    "SendBatch",
    "Sequence",
    "SequenceStep",
    "Suppression",
]
