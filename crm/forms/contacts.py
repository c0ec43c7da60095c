from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from zoneinfo import ZoneInfo

from django import forms

from crm.contactfields import FIELDS
from crm.enums import FieldType, Status
from crm.fieldtypes import FieldError, Reading, form_field, parse, to_text
from crm.models import Contact, ContactStatus, CustomField
from crm.models.setup import crm_settings
from crm.selectors.people import people_of
from tenants.models import Tenant, User

CUSTOM = "cf_"
_WIDGETS: dict[str, forms.Widget] = {
    "phones": forms.Textarea(attrs={"rows": 2}),
    "notes": forms.Textarea(attrs={"rows": 4}),
    "contact_email": forms.EmailInput(attrs={"autocomplete": "off"}),
    "website": forms.TextInput(attrs={"inputmode": "url"}),
    "value": forms.TextInput(attrs={"inputmode": "decimal"}),
}
_HELP = {
    "phones": "One a line. A label may stand before a colon: “mobile: +1 555 0100”.",
    "tags": "Separated by commas.",
}
SECTIONS = (
    ("Who", ("contact_name", "business_name", "contact_role", "contact_email", "phones", "website")),
    ("Where", ("address", "city", "state", "postal_code", "country")),
    ("Business", ("status", "value", "owner", "source", "tags", "stripe_customer_id", "notes")),
    ("Wishes", ("do_not_call", "do_not_mail")),
)


class ContactForm(forms.Form):
    """A contact as a person edits it. Values are read by the same functions as an import's and the API's."""

    version = forms.IntegerField(widget=forms.HiddenInput, required=False)

    def __init__(self, *args: Any, tenant: Tenant, contact: Contact | None = None, **options: Any) -> None:
        self.contact = contact
        self.definitions = list(CustomField.objects.filter(is_active=True))
        self._reading = self.reading(tenant)
        super().__init__(*args, **options)
        self._add_built_in(tenant)
        for definition in self.definitions:
            self.fields[CUSTOM + definition.key] = form_field(
                definition, required=definition.is_required, help_text=definition.help_text
            )
        self.initial = {**self._initial(contact), **self.initial}

    @staticmethod
    def reading(tenant: Tenant) -> Reading:
        return Reading(region=crm_settings().phone_region, zone=ZoneInfo(tenant.time_zone))

    def _add_built_in(self, tenant: Tenant) -> None:
        statuses = [(status.key, status.label) for status in ContactStatus.objects.all()]
        for key, field in FIELDS.items():
            if key in ("do_not_call", "do_not_mail"):
                self.fields[key] = forms.BooleanField(required=False, label=field.label)
            elif key == "status":
                self.fields[key] = forms.ChoiceField(choices=statuses or Status.choices, initial=Status.LEAD)
            else:
                widget = _WIDGETS.get(key, forms.TextInput())
                self.fields[key] = forms.CharField(
                    required=False, label=field.label, widget=widget, help_text=_HELP.get(key, "")
                )
        self.fields["tags"].widget.attrs["list"] = "tag-names"
        people = [("", "nobody"), *((str(user.pk), user.get_full_name()) for user in self._owners(tenant))]
        self.fields["owner"] = forms.ChoiceField(choices=people, required=False)

    def _owners(self, tenant: Tenant) -> list[User]:
        """Whoever may own a contact, and who owns this one, even if they have left."""
        people = people_of(tenant)
        owner_id = self.contact.owner_id if self.contact else None
        if owner_id is not None and owner_id not in {user.pk for user in people}:
            people += User.objects.filter(pk=owner_id)
        return people

    def _initial(self, contact: Contact | None) -> dict[str, Any]:
        if contact is None:
            return {CUSTOM + definition.key: definition.default for definition in self.definitions}
        known: dict[str, Any] = {key: field.text(contact) for key, field in FIELDS.items()}
        known["phones"] = known["phones"].replace("; ", "\n")
        known["do_not_call"], known["do_not_mail"] = bool(contact.do_not_call_at), bool(contact.do_not_mail_at)
        known["owner"] = str(contact.owner_id or "")
        known["version"] = contact.version
        for definition in self.definitions:
            value = contact.custom_fields.get(definition.key)
            if definition.type == FieldType.DATE_TIME and value:
                value = to_text(definition, value, self._reading.zone).replace(" ", "T")
            known[CUSTOM + definition.key] = ("yes" if value else "no") if isinstance(value, bool) else value
        return known

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        for key, field in FIELDS.items():
            raw = data.get(key)
            if isinstance(raw, str) and key != "status":
                try:
                    data[key] = field.parse(raw.replace("\0", ""), self._reading) if raw.strip() else _EMPTY.get(key, "")
                except FieldError as error:
                    self.add_error(key, str(error))
        for definition in self.definitions:
            name = CUSTOM + definition.key
            try:
                if name in data:
                    data[name] = parse(definition, data[name], self._reading)
            except FieldError as error:
                self.add_error(name, str(error))
        if not self.errors and not (data.get("contact_name") or data.get("business_name")):
            self.add_error("contact_name", "Write a name, or the name of a business.")
        return data

    def values(self) -> dict[str, Any]:
        """Return what the services take."""
        values = {key: self.cleaned_data[key] for key in FIELDS}
        values["owner_id"] = int(self.cleaned_data["owner"]) if self.cleaned_data["owner"] else None
        custom = dict(self.contact.custom_fields) if self.contact else {}
        for definition in self.definitions:
            value = self.cleaned_data[CUSTOM + definition.key]
            custom.pop(definition.key, None)
            if value is not None:
                custom[definition.key] = value
        return {**values, "custom_fields": custom}

    def sections(self) -> Sequence[tuple[str, list[forms.BoundField]]]:
        found = [(title, [self[name] for name in names]) for title, names in SECTIONS]
        if self.definitions:
            found.insert(3, ("More", [self[CUSTOM + definition.key] for definition in self.definitions]))
        return found


_EMPTY: dict[str, Any] = {"phones": [], "tags": [], "value": None}
