from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, ClassVar

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVectorField
from django.db import models
from django.db.models.functions import Coalesce, Lower, NullIf
from django.urls import reverse
from django.utils import timezone

from crm.blindparts import PARTS_VERSION
from crm.enums import FactSource, Status
from crm.folding import FoldedVector as FoldedVector  # the first migration finds it here
from crm.searchwords import WordsVector
from thanos.encryption import EncryptedJSONField, EncryptedTextField, blind_indexes

LIVE = models.Q(deleted_at=None)
NO_CONTACT = models.Q(do_not_call_at__isnull=False) | models.Q(do_not_mail_at__isnull=False)
# Unknown dates and scores take part in sorting, last when the greatest comes first.
NEVER = datetime(1, 1, 1, tzinfo=UTC)
NO_SCORE = -1_000_000
SEARCHED = ("contact_name", "business_name", "contact_role", "city", "postal_code", "website", "notes")


class ContactQuerySet(models.QuerySet["Contact"]):
    def live(self) -> ContactQuerySet:
        """Not in the bin, and not merged into another."""
        return self.filter(deleted_at=None)

    def with_phone(self, *numbers: str) -> ContactQuerySet:
        """Contacts one of whose numbers is one of these, in E.164 form."""
        return self.filter(phone_indexes__overlap=[index for number in numbers for index in blind_indexes(number)])

    def with_email(self, address: str) -> ContactQuerySet:
        return self.filter(email_index__in=blind_indexes(address))


class Contact(models.Model):
    business_name = models.CharField(max_length=200, blank=True)
    contact_name = models.CharField("name", max_length=200, blank=True)
    contact_email = EncryptedTextField("e-mail", blank=True)
    email_index = models.CharField(max_length=32, blank=True, editable=False)
    email_parts = ArrayField(models.CharField(max_length=16), default=list, editable=False)
    contact_role = models.CharField("role", max_length=120, blank=True)
    # [{"label": "mobile", "number": "+15550100"}], the first being the one to ring.
    phones = EncryptedJSONField(blank=True, default=list)
    # Of whole numbers, and of their last digits (crm.blindparts).
    phone_indexes = ArrayField(models.CharField(max_length=32), default=list, editable=False)
    website = models.CharField(max_length=300, blank=True)
    address = EncryptedTextField(blank=True)
    address_parts = ArrayField(models.CharField(max_length=16), default=list, editable=False)
    city = models.CharField(max_length=120, blank=True)
    state = models.CharField(max_length=120, blank=True)
    postal_code = models.CharField(max_length=20, blank=True)
    country = models.CharField(max_length=80, blank=True)
    status = models.CharField(max_length=12, choices=Status, default=Status.LEAD)
    value = models.DecimalField(
        max_digits=14, decimal_places=2, null=True, blank=True, help_text="What the business with them is worth."
    )
    notes = models.TextField(blank=True)
    # Users live in the public schema, where a cascade could not see this table: whoever is gone shows as nobody.
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.DO_NOTHING, null=True, blank=True, db_constraint=False, related_name="+"
    )
    source = models.CharField(max_length=80, blank=True)
    tags = ArrayField(models.CharField(max_length=60), default=list, blank=True)
    custom_fields = models.JSONField(default=dict, blank=True)
    stripe_customer_id = models.CharField(max_length=64, blank=True)

    do_not_call_at = models.DateTimeField(null=True, blank=True)
    do_not_call_source = models.CharField(max_length=10, choices=FactSource, blank=True)
    do_not_mail_at = models.DateTimeField(null=True, blank=True)
    do_not_mail_source = models.CharField(max_length=10, choices=FactSource, blank=True)

    score = models.IntegerField(null=True, editable=False)
    score_reasons = models.JSONField(default=list, editable=False)  # [[points, reason], …]
    scored_at = models.DateTimeField(null=True, editable=False)
    last_interaction_at = models.DateTimeField(null=True, editable=False)
    open_task_count = models.PositiveIntegerField(default=0, editable=False)

    # Which version of crm.blindparts the three indexes are of; 0: to be made anew.
    parts_version = models.PositiveSmallIntegerField(default=PARTS_VERSION, editable=False)

    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.DO_NOTHING, null=True, editable=False, db_constraint=False, related_name="+"
    )
    import_id = models.BigIntegerField(null=True, editable=False)  # the import that created it (crm.imports is above)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(default=timezone.now, editable=False)
    version = models.PositiveIntegerField(default=1, editable=False)
    deleted_at = models.DateTimeField(null=True, editable=False)
    erased_at = models.DateTimeField(null=True, editable=False)  # blanked for good; a wish's indexes may remain
    merged_into = models.ForeignKey("self", models.SET_NULL, null=True, editable=False, related_name="+")

    sort_name = models.GeneratedField(
        expression=Lower(Coalesce(NullIf("contact_name", models.Value("")), "business_name")),
        output_field=models.CharField(max_length=200),
        db_persist=True,
    )
    search = models.GeneratedField(
        expression=WordsVector(*SEARCHED),
        output_field=SearchVectorField(),
        db_persist=True,
    )

    objects: ClassVar[Any] = ContactQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "-id"]
        constraints = [
            models.CheckConstraint(
                condition=~models.Q(business_name="") | ~models.Q(contact_name=""), name="contact_has_a_name"
            )
        ]
        # Indexes on an expression are whole rather than of live contacts only: PostgreSQL keeps statistics of such an
        # expression, but passes them over when the index is partial, and then reads the table from end to end.
        indexes = [
            models.Index(fields=["-created_at", "-id"], name="contact_created", condition=LIVE),
            models.Index(fields=["-updated_at", "-id"], name="contact_updated", condition=LIVE),
            models.Index(fields=["sort_name", "id"], name="contact_name", condition=LIVE),
            models.Index(
                Coalesce("last_interaction_at", models.Value(NEVER)).desc(), models.F("id").desc(), name="contact_touched"
            ),
            models.Index(Coalesce("score", models.Value(NO_SCORE)).desc(), models.F("id").desc(), name="contact_score"),
            models.Index(fields=["status", "-updated_at", "-id"], name="contact_board", condition=LIVE),
            models.Index(Lower("city"), name="contact_city"),
            models.Index(Lower("state"), name="contact_state"),
            models.Index(Lower("business_name"), name="contact_business"),
            models.Index(fields=["owner"], name="contact_owner", condition=LIVE & models.Q(owner__isnull=False)),
            models.Index(fields=["source", "-created_at", "-id"], name="contact_source", condition=LIVE),
            models.Index(fields=["id"], name="contact_with_task", condition=LIVE & models.Q(open_task_count__gt=0)),
            models.Index(fields=["email_index"], name="contact_email", condition=~models.Q(email_index="")),
            models.Index(
                fields=["import_id", "-created_at", "-id"],
                name="contact_import",
                condition=models.Q(import_id__isnull=False),
            ),
            models.Index(fields=["-created_at", "-id"], name="contact_no_contact", condition=LIVE & NO_CONTACT),
            models.Index(fields=["deleted_at", "id"], name="contact_bin", condition=~LIVE),
            models.Index(fields=["id"], name="contact_unscored", condition=LIVE & models.Q(scored_at=None)),
            # A caller's number is looked up while they wait: no list of what is still to be put in order.
            GinIndex(fields=["phone_indexes"], name="contact_phones", fastupdate=False),
            GinIndex(fields=["email_parts"], name="contact_email_parts"),
            GinIndex(fields=["address_parts"], name="contact_address_parts"),
            models.Index(fields=["id"], name="contact_old_parts", condition=models.Q(parts_version=0)),
            GinIndex(fields=["tags"], name="contact_tags"),
            GinIndex(fields=["search"], name="contact_search"),
        ]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("crm:contact-detail", args=[self.pk])

    @property
    def name(self) -> str:
        """What to call them: the person, else the business."""
        return self.contact_name or self.business_name

    @property
    def phone(self) -> str:
        """The number to ring, in E.164 form; empty when none is known."""
        return str(self.phones[0]["number"]) if self.phones else ""

    @property
    def has_a_fact(self) -> bool:
        return self.do_not_call_at is not None or self.do_not_mail_at is not None


class Tag(models.Model):
    """A word contacts carry. Contacts hold the names; this is the list to choose from."""

    name = models.CharField(max_length=60, unique=True)
    colour = models.CharField(max_length=10, default="grey")

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name
