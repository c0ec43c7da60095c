from __future__ import annotations

from typing import Any

from django import forms
from django.http import QueryDict

from crm.enums import FieldType
from crm.fieldtypes import is_ordered
from crm.filters import CUSTOM, DEFAULT_SORT, SORTS
from crm.models import ContactStatus, CustomField, Tag
from crm.selectors.people import people_of
from crm.selectors.suggestions import distinct_values
from tenants.models import Tenant

_DAY = {"type": "date"}
_NUMBER = {"inputmode": "numeric", "size": 6}


class FilterForm(forms.Form):
    """The controls of a list. It shows what the address says; `crm.filters` alone decides what that means."""

    q = forms.CharField(
        required=False,
        label="Search",
        widget=forms.TextInput(
            attrs={"type": "search", "data-search": "", "placeholder": "Name, business, city, notes, number, e-mail"}
        ),
    )
    sort = forms.ChoiceField(required=False, choices=list(SORTS.items()))

    def __init__(self, query: QueryDict, *, tenant: Tenant, with_status: bool = True) -> None:
        super().__init__(initial=self._shown(query))
        people = [("me", "me"), ("none", "nobody")]
        people += [(str(user.pk), user.get_full_name()) for user in people_of(tenant)]
        if with_status:
            self._choose("status", [(status.key, status.label) for status in ContactStatus.objects.all()])
        self._choose("owner", people)
        self._choose("tag", [(name, name) for name in Tag.objects.values_list("name", flat=True)[:200]])
        self._choose("source", [(value, value) for value in distinct_values("source")])
        self.fields["city"] = forms.CharField(required=False, widget=forms.TextInput(attrs={"list": "cities"}))
        self.fields["state"] = forms.CharField(required=False, widget=forms.TextInput(attrs={"list": "states"}))
        self.fields["score_min"] = _plain("Score at least", _NUMBER)
        self.fields["score_max"] = _plain("Score at most", _NUMBER)
        self.fields["created_from"] = _plain("Created from", _DAY)
        self.fields["created_to"] = _plain("Created until", _DAY)
        self.fields["quiet_since"] = _plain("Not contacted since", _DAY)
        self.fields["has_task"] = _yes_no("Has an open task")
        self.fields["no_contact"] = _yes_no("Wants no contact")
        for field in CustomField.objects.filter(is_active=True).exclude(type=FieldType.LONG_TEXT):
            self._add_custom(field)

    def _choose(self, name: str, choices: list[tuple[str, str]]) -> None:
        self.fields[name] = forms.MultipleChoiceField(
            required=False, choices=choices, widget=forms.SelectMultiple(attrs={"size": min(max(len(choices), 2), 5)})
        )

    def _add_custom(self, field: CustomField) -> None:
        name = CUSTOM + field.key
        if is_ordered(field):
            attrs = _DAY if field.type in (FieldType.DATE, FieldType.DATE_TIME) else _NUMBER
            self.fields[f"{name}_min"] = _plain(f"{field.label} from", attrs)
            self.fields[f"{name}_max"] = _plain(f"{field.label} until", attrs)
        elif field.has_options:
            self._choose(name, [(option, option) for option in field.options])
            self.fields[name].label = field.label
        elif field.type == FieldType.BOOLEAN:
            self.fields[name] = _yes_no(field.label)
        else:
            self.fields[name] = _plain(field.label, {})

    @staticmethod
    def _shown(query: QueryDict) -> dict[str, Any]:
        many = {name: query.getlist(name) for name in query}
        one = {name: values[-1] for name, values in many.items()}
        chosen = {name: values for name, values in many.items() if name in ("status", "owner", "tag", "source")}
        custom = {name: values for name, values in many.items() if name.startswith(CUSTOM) and len(values) > 1}
        return {"sort": DEFAULT_SORT, **one, **chosen, **custom}


def _plain(label: str, attrs: dict[str, Any]) -> forms.CharField:
    return forms.CharField(required=False, label=label, widget=forms.TextInput(attrs=attrs))


def _yes_no(label: str) -> forms.ChoiceField:
    return forms.ChoiceField(required=False, label=label, choices=[("", "either"), ("yes", "yes"), ("no", "no")])
