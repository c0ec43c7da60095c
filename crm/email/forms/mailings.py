from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.http import QueryDict
from django.utils import timezone

from crm.email.enums import SendWhen
from crm.email.models import EmailTemplate, Mailing
from crm.fieldtypes import FieldError, Reading, parse_moment
from crm.filters import MAX_IDS, clean_query
from crm.models import SavedView
from tenants.models import Tenant, User

CHOSEN, LISTED, EVERYBODY, VIEW = "chosen", "listed", "everybody", "view:"


def read_ids(text: str) -> list[int]:
    """Return the contacts' ids in “1,2,3”; what is none is passed over."""
    parts = (part.strip() for part in text.split(","))
    return sorted({int(part) for part in parts if part.isascii() and part.isdigit() and len(part) < 19})


class MailingForm(forms.Form):
    """Name, template and recipients. The last are a saved view, the list one came from, or contacts that were ticked.

    The contacts a draft has already stay on the server: they may be more than a form can carry.
    """

    name = forms.CharField(max_length=120, help_text="For you: recipients do not see it.")
    template = forms.ModelChoiceField(queryset=EmailTemplate.objects.none(), empty_label="Choose…")
    audience = forms.ChoiceField(label="Recipients")
    ids = forms.CharField(
        required=False,
        widget=forms.HiddenInput,
        max_length=MAX_IDS * 20,
        error_messages={"max_length": "Choose these by a filter or a saved view instead of one by one."},
    )
    query = forms.CharField(required=False, widget=forms.HiddenInput, max_length=2000)

    def __init__(self, *args: Any, user: User, mailing: Mailing | None = None, **options: Any) -> None:
        options["initial"] = {**_initial(mailing), **(options.get("initial") or {})}
        super().__init__(*args, **options)
        self.mailing = mailing
        if mailing is not None:
            del self.fields["ids"]
        self.views = {f"{VIEW}{view.pk}": view for view in SavedView.visible_to(user)}
        usable = EmailTemplate.objects.usable().exclude(current=None)
        self.fields["template"].queryset = usable  # type: ignore[attr-defined]
        self.fields["audience"].choices = self._audiences()  # type: ignore[attr-defined]
        if not self.initial.get("audience"):
            self.initial["audience"] = self._first_audience()

    def _sent(self, name: str) -> str:
        """A hidden value as it was sent with the form, or as the page began with it."""
        return str(self.data.get(name, "") if self.is_bound else self.initial.get(name, "") or "")

    def _ticked(self) -> int:
        if self.mailing is not None:
            return len(self.mailing.contact_ids or [])
        return len(read_ids(self._sent("ids")))

    def _audiences(self) -> list[tuple[str, str]]:
        found = [("", "Choose…")]
        if count := self._ticked():
            found.append((CHOSEN, f"The {count} contact{'s' if count != 1 else ''} you ticked"))
        if self._sent("query"):
            found.append((LISTED, "The contacts of the list you came from"))
        found += [(key, f"View: {view.name}") for key, view in self.views.items()]
        return [*found, (EVERYBODY, "All contacts")]

    def _first_audience(self) -> str:
        query = self._sent("query")
        if query and not self._ticked():
            same = (key for key, view in self.views.items() if clean_query(QueryDict(view.query)) == query)
            return next(same, LISTED)
        return CHOSEN if self._ticked() else ""

    def values(self) -> dict[str, Any]:
        """Return what the services take; nothing of the recipients when a draft keeps the contacts it has."""
        data = self.cleaned_data
        chosen = data["audience"]
        basics = {"name": data["name"], "template": data["template"]}
        if chosen == CHOSEN and self.mailing is not None:
            return basics
        query = ""
        if chosen == LISTED:
            query = clean_query(QueryDict(data["query"]))
        elif chosen in self.views:
            query = clean_query(QueryDict(self.views[chosen].query))
        ids = read_ids(data["ids"]) if chosen == CHOSEN else None
        return {**basics, "contact_ids": ids, "query": query}


def _initial(mailing: Mailing | None) -> dict[str, Any]:
    if mailing is None:
        return {}
    audience = EVERYBODY if mailing.contact_ids is None and not mailing.query else ""
    values = {"name": mailing.name, "template": mailing.version.template_id, "query": mailing.query}
    return {**values, "audience": audience}


class StartForm(forms.Form):
    """When it goes out."""

    when = forms.ChoiceField(choices=SendWhen.choices, widget=forms.RadioSelect, initial=SendWhen.NOW)
    send_at = forms.CharField(
        required=False,
        label="At",
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
    )
    morning_of = forms.DateField(
        required=False, label="From the morning of", widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")
    )

    def __init__(self, *args: Any, tenant: Tenant, morning_hour: int, **options: Any) -> None:
        super().__init__(*args, **options)
        self._zone = ZoneInfo(tenant.time_zone)
        zone = tenant.time_zone.replace("_", " ")
        self.fields["send_at"].help_text = f"In your organisation's time zone: {zone}."
        self.fields[
            "morning_of"
        ].help_text = f"At {morning_hour} o'clock where each recipient is; left empty, the next one."

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        when = data.get("when")
        moment: datetime | None = None
        if when == SendWhen.AT:
            moment = self._moment(data.get("send_at") or "")
        elif when == SendWhen.MORNING and data.get("morning_of"):
            day = data["morning_of"]
            moment = datetime(day.year, day.month, day.day, tzinfo=self._zone)
            if day < timezone.now().astimezone(self._zone).date():
                self.add_error("morning_of", "This day is over.")
        data["moment"] = moment
        return data

    def _moment(self, text: str) -> datetime | None:
        if not text.strip():
            self.add_error("send_at", "Say when.")
            return None
        try:
            moment: datetime = parse_moment(text, Reading(zone=self._zone))
        except FieldError as error:
            self.add_error("send_at", str(error).capitalize() + ".")
            return None
        if moment <= timezone.now():
            self.add_error("send_at", "This time is in the past.")
        return moment
