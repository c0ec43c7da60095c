from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django import forms

from crm.email.enums import Otherwise, StepCondition
from crm.email.models import EmailTemplate, SequenceStep
from crm.email.models import Sequence as EmailSequence
from crm.email.models.sequences import LONGEST_WAIT_H
from crm.email.selectors.sequences import status_labels
from crm.email.services.sequences import MAX_STEPS, SequenceError
from crm.email.steps import Draft
from crm.models import SavedView
from tenants.models import Tenant, User

_HOURS = {"hours": 1, "days": 24}
_ROW = ("key", "amount", "unit", "template", "condition", "status", "otherwise")


class SequenceForm(forms.Form):
    name = forms.CharField(max_length=120, help_text="Recipients do not see it.")
    is_active = forms.BooleanField(
        required=False, label="Active", help_text="Nothing is sent while it is not; who is due waits."
    )
    stop_on_reply = forms.BooleanField(
        required=False, initial=True, label="Ends when they answer", help_text="A person goes on talking with them."
    )
    version = forms.IntegerField(required=False, widget=forms.HiddenInput)


class StepForm(forms.Form):
    """`key` is the step's id, or n1, n2, … for those that are not saved yet."""

    key = forms.RegexField(r"^([0-9]{1,18}|n[0-9]{1,3})$", widget=forms.HiddenInput)
    amount = forms.IntegerField(min_value=0, max_value=LONGEST_WAIT_H, label="Wait", initial=1)
    unit = forms.ChoiceField(choices=[("days", "days"), ("hours", "hours")], label="Unit", initial="days")
    condition = forms.ChoiceField(choices=StepCondition.choices, label="Send if", initial=StepCondition.ALWAYS)
    status = forms.ChoiceField(required=False, label="Status")
    template: Any = forms.ModelChoiceField(queryset=None, label="Template", empty_label="Choose…")
    otherwise = forms.ChoiceField(choices=Otherwise.choices, label="Otherwise", initial=Otherwise.SKIP)

    def __init__(self, *args: Any, statuses: Sequence[tuple[str, str]], templates: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["status"].choices = [("", "—"), *statuses]  # type: ignore[attr-defined]
        self.fields["template"].queryset = templates  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if data.get("amount") is not None and data.get("unit"):
            data["wait_hours"] = data["amount"] * _HOURS[data["unit"]]
            if data["wait_hours"] > LONGEST_WAIT_H:
                self.add_error("amount", "Wait a year at most.")
        return data

    def draft(self) -> Draft:
        data = self.cleaned_data
        condition = StepCondition(data["condition"])
        return Draft(
            id=int(data["key"]) if data["key"].isdigit() else None,
            template_id=data["template"].pk,
            wait_hours=data["wait_hours"],
            condition=condition,
            status=data["status"] if condition in (StepCondition.STATUS_IS, StepCondition.STATUS_IS_NOT) else "",
            otherwise=Otherwise(data["otherwise"]),
        )


class BaseStepFormSet(forms.BaseFormSet):  # type: ignore[type-arg]
    def add_fields(self, form: Any, index: int | None) -> None:
        super().add_fields(form, index)
        form.empty_permitted = False  # one that was left as it was is a step all the same

    def show(self, error: SequenceError) -> None:
        """Put what is wrong with single steps beside their fields."""
        names = {"wait": "amount"}
        for fault in error.faults:
            self.forms[fault.step].add_error(names.get(fault.field, fault.field), fault.text)


StepFormSet = forms.formset_factory(
    StepForm, formset=BaseStepFormSet, extra=0, max_num=MAX_STEPS, absolute_max=MAX_STEPS, validate_max=True
)


def step_forms(data: Any = None, rows: Sequence[Mapping[str, Any]] = ()) -> Any:
    """Return the steps as somebody sent them, or, without data, as rows of plain values."""
    kwargs = {"statuses": list(status_labels().items()), "templates": EmailTemplate.objects.usable()}
    return StepFormSet(data, initial=None if data is not None else list(rows), prefix="steps", form_kwargs=kwargs)


def rows_of(sequence: EmailSequence | None) -> list[dict[str, Any]]:
    if sequence is None:
        return [new_row([]) | {"amount": 0}]
    return [_row(step) for step in SequenceStep.objects.standing().filter(sequence=sequence).order_by("position")]


def _row(step: SequenceStep) -> dict[str, Any]:
    in_days = step.wait_hours % 24 == 0
    return {
        "key": str(step.pk),
        "amount": step.wait_hours // 24 if in_days else step.wait_hours,
        "unit": "days" if in_days else "hours",
        "template": step.template_id,
        "condition": step.condition,
        "status": step.status,
        "otherwise": step.otherwise,
    }


def sent_rows(data: Any) -> list[dict[str, Any]]:
    """Return the rows of a form that was sent, as they are: nothing somebody typed is lost when one is moved."""
    text = data.get("steps-TOTAL_FORMS", "")
    count = min(int(text), MAX_STEPS) if text.isascii() and text.isdigit() and len(text) < 4 else 0
    return [{name: data.get(f"steps-{number}-{name}", "") for name in _ROW} for number in range(count)]


def new_row(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    numbers = [int(row["key"][1:]) for row in rows if row["key"][:1] == "n" and row["key"][1:].isdecimal()]
    return {
        "key": f"n{max(numbers, default=0) + 1}",
        "amount": 3,
        "unit": "days",
        "template": "",
        "condition": StepCondition.ALWAYS.value,
        "status": "",
        "otherwise": Otherwise.SKIP.value,
    }


def rearranged(rows: list[dict[str, Any]], action: str) -> list[dict[str, Any]]:
    """Return the rows after "add", "up-2", "down-2" or "remove-2"; what makes no sense changes nothing."""
    rows = list(rows)
    what, _, text = action.partition("-")
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 4 else -1
    if what == "add" and len(rows) < MAX_STEPS:
        rows.append(new_row(rows))
    elif what == "remove" and 0 <= number < len(rows):
        del rows[number]
    elif what == "up" and 1 <= number < len(rows):
        rows[number - 1 : number + 1] = rows[number], rows[number - 1]
    elif what == "down" and 0 <= number < len(rows) - 1:
        rows[number : number + 2] = rows[number + 1], rows[number]
    return rows


class _StartForm(forms.Form):
    start_at = forms.DateTimeField(
        required=False,
        label="Start at",
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
        help_text="Left empty: now. The first step's wait is counted from then.",
    )

    def __init__(self, *args: Any, tenant: Tenant, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._zone = ZoneInfo(tenant.time_zone)

    def clean_start_at(self) -> datetime | None:
        """As it was written, in the organisation's zone."""
        at: datetime | None = self.cleaned_data["start_at"]
        return at.replace(tzinfo=self._zone) if at is not None else None


class EnrolManyForm(_StartForm):
    query = forms.CharField(required=False, max_length=60_000, widget=forms.HiddenInput)


class EnrolOneForm(_StartForm):
    sequence: Any = forms.ModelChoiceField(queryset=None, empty_label="Choose…")
    field_order = ["sequence", "start_at"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["sequence"].queryset = EmailSequence.objects.kept()  # type: ignore[attr-defined]


def is_id(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 19


def view_choices(user: User) -> list[SavedView]:
    return list(SavedView.visible_to(user))
