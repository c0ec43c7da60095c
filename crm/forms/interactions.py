from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.utils import timezone

from crm.enums import TASK_KINDS, InteractionKind
from crm.fieldtypes import FieldError, Reading, parse_moment
from crm.models import Interaction
from crm.selectors.people import people_of
from tenants.models import Tenant

_MOMENT = {"type": "datetime-local"}


class MultipleFiles(forms.ClearableFileInput):
    allow_multiple_selected = True


class FilesField(forms.FileField):
    """Any number of files."""

    widget = MultipleFiles

    def clean(self, data: Any, initial: Any = None) -> list[Any]:
        return [super(FilesField, self).clean(one, initial) for one in data or []]


class InteractionForm(forms.Form):
    kind = forms.ChoiceField(choices=InteractionKind.choices, label="What")
    subject = forms.CharField(max_length=200, required=False)
    content = forms.CharField(
        required=False, max_length=100_000, label="Text", widget=forms.Textarea(attrs={"rows": 3}), strip=True
    )
    interaction_date = forms.CharField(
        required=False, label="When", widget=forms.DateTimeInput(attrs=_MOMENT, format="%Y-%m-%dT%H:%M")
    )
    due_on = forms.DateField(required=False, label="Due", widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"))
    remind_at = forms.CharField(
        required=False, label="Remind by e-mail", widget=forms.DateTimeInput(attrs=_MOMENT, format="%Y-%m-%dT%H:%M")
    )
    user = forms.ChoiceField(required=False, label="Who")
    files = FilesField(required=False, label="Files", widget=MultipleFiles(attrs={"multiple": True}))  # type: ignore[assignment]

    def __init__(
        self, *args: Any, tenant: Tenant, entry: Interaction | None = None, tasks: bool = False, **options: Any
    ) -> None:
        """With `tasks`, only tasks and follow-ups: nothing else goes without a contact."""
        self._zone = ZoneInfo(tenant.time_zone)
        if entry is not None:
            options["initial"] = {
                **{name: getattr(entry, name) for name in ("kind", "subject", "content", "due_on")},
                "interaction_date": timezone.make_naive(entry.interaction_date, self._zone),
                "remind_at": timezone.make_naive(entry.remind_at, self._zone) if entry.remind_at else None,
                "user": str(entry.user_id or ""),
            }
        super().__init__(*args, **options)
        people = [("", "nobody"), *((str(user.pk), user.get_full_name()) for user in people_of(tenant))]
        self.fields["user"] = forms.ChoiceField(choices=people, required=False, label="Who")
        if tasks:
            self.fields["kind"].choices = [(kind.value, kind.label) for kind in TASK_KINDS]  # type: ignore[attr-defined]
            del self.fields["interaction_date"]
        if entry is not None:
            del self.fields["files"]

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if not self.errors and not (data.get("subject") or data.get("content") or data.get("files")):
            self.add_error("subject", "Write a subject or a text.")
        for name in ("interaction_date", "remind_at"):  # written in the tenant's zone, whatever the server's
            try:
                data[name] = parse_moment(data[name], Reading(zone=self._zone)) if data.get(name) else None
            except FieldError as error:
                self.add_error(name, str(error).capitalize() + ".")
        return data

    def values(self) -> dict[str, Any]:
        """Return what the service takes to change an entry."""
        data = self.cleaned_data
        found = {name: data[name] for name in ("kind", "subject", "content", "due_on", "remind_at")}
        if data.get("interaction_date"):
            found["interaction_date"] = data["interaction_date"]
        return {**found, "user_id": int(data["user"]) if data["user"] else None}
