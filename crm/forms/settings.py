from __future__ import annotations

from typing import Any

from django import forms

from crm.contactfields import FIELDS
from crm.enums import InteractionKind, RuleKind
from crm.fieldtypes import to_text
from crm.models import ContactStatus, CrmSettings, CustomField, SavedView, ScoreRule


class CustomFieldForm(forms.ModelForm):  # type: ignore[type-arg]
    options = forms.CharField(
        required=False, widget=forms.Textarea(attrs={"rows": 4}), help_text="One a line, for fields one chooses from."
    )
    default = forms.CharField(required=False, help_text="What new contacts get.")

    class Meta:
        model = CustomField
        fields = ["label", "key", "type", "options", "default", "help_text", "position", "is_required", "is_active"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["key"].required = False
        self.fields["position"].required = False
        if self.instance.pk:
            self.fields["key"].disabled = True
            self.initial["options"] = "\n".join(self.instance.options)
            default = self.instance.default
            self.initial["default"] = to_text(self.instance, default) if default is not None else None
        else:
            self.initial["options"] = ""
            self.fields["key"].help_text = "Left empty, it is made from the label. It cannot be changed later."

    def clean_options(self) -> list[str]:
        return [line.strip() for line in self.cleaned_data["options"].splitlines() if line.strip()]

    def clean_default(self) -> Any:
        text = self.cleaned_data["default"]
        return text or None

    def clean_position(self) -> int:
        return self.cleaned_data["position"] or self.instance.position or 0

    def clean_key(self) -> str:
        if self.instance.pk:
            return str(self.instance.key)
        key = self.cleaned_data["key"] or free_key(self.data.get("label", ""))
        if key in FIELDS or key in RESERVED:
            raise forms.ValidationError("This word is taken by a field every contact has.")
        if CustomField.objects.filter(key=key).exists():
            raise forms.ValidationError("Another field is called that already.")
        return str(key)


RESERVED = frozenset({"id", "owner", "score", "phone", "created_at", "updated_at", "name", "email", "custom_fields"})


def make_key(label: str) -> str:
    from crm.folding import fold

    key = "_".join("".join(c if c.isascii() and c.isalnum() else " " for c in fold(label.replace("ß", "ss"))).split())[:40]
    return key if key and key[0].isalpha() else f"field_{key}".rstrip("_")[:40]


def free_key(label: str) -> str:
    """Return a key made of a label that no field has yet."""
    key, taken = make_key(label), {*FIELDS, *RESERVED, *CustomField.objects.values_list("key", flat=True)}
    return next(each for each in (key, *(f"{key[:36]}_{n}" for n in range(2, 1000))) if each not in taken)


class StatusForm(forms.ModelForm):  # type: ignore[type-arg]
    class Meta:
        model = ContactStatus
        fields = ["label", "colour", "position", "probability"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():  # the table's headings are no labels to a screen reader
            field.widget.attrs["aria-label"] = f"{field.label} of “{self.instance.label}”"


StatusFormSet = forms.modelformset_factory(ContactStatus, form=StatusForm, extra=0)


class CrmSettingsForm(forms.ModelForm):  # type: ignore[type-arg]
    class Meta:
        model = CrmSettings
        fields = [
            "currency",
            "phone_region",
            "new_lead_name",
            "call_subject",
            "caller_context",
            "no_contact_context",
            "context_interactions",
            "do_not_contact_text",
            "message_subject",
            "reminder_subject",
            "reminder_text",
        ]
        widgets = {
            name: forms.Textarea(attrs={"rows": 3})
            for name in ("caller_context", "no_contact_context", "do_not_contact_text", "reminder_text")
        }


class ScoreRuleForm(forms.ModelForm):  # type: ignore[type-arg]
    field = forms.ChoiceField(required=False, label="Field")

    class Meta:
        model = ScoreRule
        fields = ["label", "kind", "field", "value", "at_least", "within_days", "points", "is_active", "position"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        own = [(f"custom_fields.{field.key}", field.label) for field in CustomField.objects.filter(is_active=True)]
        built_in = [("phone" if key == "phones" else key, field.label) for key, field in FIELDS.items()]
        self.fields["field"] = forms.ChoiceField(choices=[("", "—"), *built_in, *own], required=False)

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        kind = data.get("kind")
        if kind in (RuleKind.FIELD_FILLED, RuleKind.FIELD_IS) and not data.get("field"):
            self.add_error("field", "Choose the field this rule looks at.")
        if kind in (RuleKind.FIELD_IS, RuleKind.TAGGED) and not data.get("value"):
            self.add_error("value", "Write the value or tag.")
        if kind == RuleKind.ACTIVITY and data.get("value") and data["value"] not in InteractionKind.values:
            self.add_error("value", f"Write one of: {', '.join(InteractionKind.values)}; or nothing, for any.")
        return data


class SavedViewForm(forms.ModelForm):  # type: ignore[type-arg]
    class Meta:
        model = SavedView
        fields = ["name", "is_shared"]
