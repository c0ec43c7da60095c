from crm.models.changes import ContactChange, ContactJob, MergeRecord
from crm.models.contacts import Contact, Tag
from crm.models.fields import CustomField
from crm.models.interactions import Attachment, Interaction
from crm.models.setup import ContactStatus, CrmSettings, ScoreRule
from crm.models.tallies import Tally
from crm.models.views import SavedView

__all__ = [
    "Attachment",
    "Contact",
    "ContactChange",
    "ContactJob",
    "ContactStatus",
    "CrmSettings",
    "CustomField",
    "Interaction",
    "MergeRecord",
    "SavedView",
    "ScoreRule",
    "Tag",
    "Tally",
]
