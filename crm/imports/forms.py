from __future__ import annotations

from typing import Any

from django import forms

from crm.contactfields import split_tags
from crm.enums import FieldType, Status
from crm.fieldtypes import DAY_LABELS
from crm.imports import mapping as columns
from crm.imports.encodings import ENCODINGS
from crm.imports.enums import FileKind, OnDuplicate, OnShared, Outcome
from crm.imports.models import ContactImport
from crm.imports.services.uploading import custom_fields, questions
from crm.imports.sniffing import DELIMITERS
from crm.models import ContactStatus
from tenants.context import current_tenant
from tenants.models import Membership

_MARKS = ((".", "1,234.50"), (",", "1.234,50"))


class UploadForm(forms.Form):
    file = forms.FileField(
        label="File",
        allow_empty_file=True,  # the service says so in better words
        help_text="CSV or XLSX, with one contact in each row. Nothing is changed before you have seen what would happen.",
        widget=forms.FileInput(attrs={"accept": ".csv,.tsv,.txt,.xlsx"}),
    )


class ReadingForm(forms.Form):
    """How the file is cut into rows and cells."""

    encoding = forms.ChoiceField(label="Encoding", choices=list(ENCODINGS.items()), required=False)
    delimiter = forms.ChoiceField(label="Separator", choices=list(DELIMITERS.items()), required=False)
    sheet = forms.ChoiceField(required=False)
    header_row = forms.IntegerField(
        label="Row with the names of the columns", min_value=0, max_value=1000, help_text="0 when there is none."
    )

    def __init__(self, *args: Any, record: ContactImport, **kwargs: Any) -> None:
        initial = {name: getattr(record, name) for name in ("encoding", "delimiter", "sheet")}
        kwargs["initial"] = {**initial, "header_row": record.header_row or 0}
        super().__init__(*args, **kwargs)
        self.fields["sheet"].choices = [(sheet, sheet) for sheet in record.sheets]  # type: ignore[attr-defined]
        for name in ("sheet",) if record.kind == FileKind.CSV else ("encoding", "delimiter"):
            del self.fields[name]
        if record.kind == FileKind.XLSX and len(record.sheets) < 2:
            del self.fields["sheet"]

    def clean_delimiter(self) -> str:
        # A tab is white space, which forms take off: then nothing is left of it.
        raw = self.data.get("delimiter", "")
        return raw if raw in DELIMITERS else str(self.cleaned_data["delimiter"])

    def clean_header_row(self) -> int | None:
        return self.cleaned_data["header_row"] or None


def country_choices(blank: str) -> list[tuple[str, str]]:
    import phonenumbers

    regions = sorted(phonenumbers.SUPPORTED_REGIONS)
    return [("", blank), *((region, f"{region} +{phonenumbers.country_code_for_region(region)}") for region in regions)]


class RegionField(forms.ChoiceField):
    def __init__(self, **kwargs: Any) -> None:
        label = "Country of phone numbers written without one"
        super().__init__(label=label, choices=lambda: country_choices("None: leave these numbers out"), **kwargs)

    def to_python(self, value: Any) -> str:
        return str(super().to_python(value)).upper()

    default_error_messages = {"invalid_choice": "There is no such country. Choose one, such as DE or US."}


class ColumnsForm(forms.Form):
    """What each column becomes, and how its days and numbers are meant."""

    region = RegionField(required=False)
    day_format = forms.ChoiceField(
        label="Dates are written as",
        required=False,
        choices=[("", "As the file shows; ask me where it does not"), *DAY_LABELS.items()],
    )
    decimal_mark = forms.ChoiceField(
        label="Decimals are written as",
        required=False,
        choices=[("", "As the file shows; ask me where it does not"), *_MARKS],
    )

    def __init__(self, *args: Any, record: ContactImport, samples: list[list[str]], **kwargs: Any) -> None:
        kwargs["initial"] = {name: getattr(record, name) for name in ("day_format", "decimal_mark", "region")}
        super().__init__(*args, **kwargs)
        self.record, self.samples = record, samples
        self.questions = questions(record)
        self.wishes = set(columns.wish_columns(record.headers))
        self.labels = columns.targets(custom_fields())
        choices = self._choices()
        for position, target in enumerate(record.mapping):
            is_wish = position in self.wishes
            self.fields[f"column_{position}"] = forms.ChoiceField(
                label=record.headers[position],
                choices=self._wish_choices(choices) if is_wish else choices,
                required=is_wish,
                # What a wish means is said by a person, so nothing is chosen before.
                initial=target if is_wish else target or self.questions.get(position, ""),
                error_messages={"required": "Say what this column means, or that it is no wish about contact."},
            )

    def _choices(self) -> list[Any]:
        new = [(columns.NEW + kind, f"New field: {FieldType(kind).label.lower()}") for kind in columns.NEW_TYPES]
        return [("", "— leave out —"), ("Fields", list(self.labels.items())), ("A field that is not here yet", new)]

    def _wish_choices(self, choices: list[Any]) -> list[Any]:
        wishes = [(target, self.labels[target]) for target in columns.WISHES]
        return [("", "— choose —"), *wishes, (columns.IGNORE, "No wish about contact: leave out"), *choices[1:]]

    @property
    def columns(self) -> list[dict[str, Any]]:
        """Each column's field, with the first of its cells and what has to be asked about it."""
        return [
            {
                "field": self[f"column_{position}"],
                "header": header,
                "samples": [cells[position][:80] for cells in self.samples if position < len(cells) and cells[position]][
                    :3
                ],
                "question": self.labels.get(self.questions.get(position, ""), ""),
                "is_wish": position in self.wishes,
            }
            for position, header in enumerate(self.record.headers)
        ]

    @property
    def mapping(self) -> list[str]:
        return [self.cleaned_data[f"column_{position}"] for position in range(len(self.record.headers))]


class RegionForm(forms.Form):
    """Asked where numbers that name no country were counted."""

    region = RegionField(required=False)

    def __init__(self, *args: Any, record: ContactImport, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)

    @property
    def answers(self) -> dict[str, Any]:
        return {"region": self.cleaned_data["region"]}


class QuestionsForm(forms.Form):
    """What the check could not decide. Every question has to be answered; "nothing" is an answer."""

    def __init__(self, *args: Any, record: ContactImport, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._words: dict[str, tuple[str, str]] = {}
        labels = columns.targets(custom_fields())
        for question in (record.findings or {}).get("questions", []):
            if question["kind"] == "words":
                self._ask_about_words(question, labels)
            else:
                self._ask(question)

    def _ask(self, question: dict[str, Any]) -> None:
        kind = question["kind"]
        known = DAY_LABELS if kind == "day_format" else dict(_MARKS)
        what = "Which way are dates written" if kind == "day_format" else "What stands before the decimals"
        self.fields[kind] = forms.ChoiceField(
            label=f"{what} in {', '.join(question['columns'])}?",
            choices=[("", "— choose —"), *((choice, known[choice]) for choice in question["choices"])],
            help_text=f"For example {', '.join(question['examples'])}.",
        )

    def _ask_about_words(self, question: dict[str, Any], labels: dict[str, str]) -> None:
        target = question["target"]
        for number, word in enumerate(question["words"]):
            name = f"{target}_{number}"
            self._words[name] = (target, word["word"])
            self.fields[name] = forms.ChoiceField(
                label=f"“{word['text']}” in {', '.join(question['columns'])} ({word['count']})",
                choices=_meanings(target),
                initial=word["suggestion"],
                required=target in columns.WISHES,
                help_text=f"Becomes: {labels[target]}",
            )

    @property
    def answers(self) -> dict[str, Any]:
        chosen = self.cleaned_data
        found: dict[str, Any] = {name: chosen[name] for name in ("day_format", "decimal_mark") if name in chosen}
        words: dict[str, dict[str, Any]] = {}
        for name, (target, word) in self._words.items():
            meaning: Any = chosen[name]
            if target == columns.OWNER and meaning:
                meaning = int(meaning)
            words.setdefault(target, {})[word] = "" if meaning == _NOTHING else meaning
        return {**found, "words": words}


_NOTHING = "nothing"


def _meanings(target: str) -> list[tuple[str, str]]:
    if target == "status":
        return [("", "Nothing: as chosen for new contacts"), *_status_choices()]
    if target == columns.OWNER:
        return [("", "Nobody"), *((str(pk), name) for pk, name in _people())]
    return [("", "— choose —"), ("yes", "Yes"), ("no", "No"), (_NOTHING, "Nothing")]


def _status_choices() -> list[tuple[str, str]]:
    return [(status.key, status.label) for status in ContactStatus.objects.all()] or list(Status.choices)


def _people() -> list[tuple[int, str]]:
    members = Membership.objects.filter(tenant=current_tenant()).select_related("user").order_by("user__name")
    return [(member.user_id, member.user.get_full_name()) for member in members if member.can_manage]


def _told(counts: dict[str, int]) -> str:
    words = (f"{count} {Outcome(name).label.lower()}" for name, count in counts.items() if count)
    return ", ".join(words) or "nothing"


class StartForm(forms.Form):
    on_duplicate = forms.ChoiceField(
        label="When a contact is there already",
        choices=OnDuplicate.choices,
        widget=forms.RadioSelect,
        initial=OnDuplicate.SKIP,
        help_text="Filled cells overwrite; tags and numbers are added; empty cells change nothing.",
    )
    on_shared = forms.ChoiceField(
        label="When a row shares a number or an address with a contact of another name",
        choices=OnShared.choices,
        initial=OnShared.CREATE,
        required=False,
    )
    status = forms.ChoiceField(label="Status of new contacts", required=False)
    owner = forms.TypedChoiceField(label="Owner, where a row names none", required=False, coerce=int, empty_value=None)
    source = forms.CharField(label="Source, where a row names none", required=False, max_length=80)
    tags = forms.CharField(label="Tags for all rows", required=False, max_length=500, help_text="Separated by commas.")

    def __init__(self, *args: Any, record: ContactImport, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["status"].choices = [("", "As usual: lead"), *_status_choices()]  # type: ignore[attr-defined]
        self.fields["owner"].choices = [("", "Nobody"), *_people()]  # type: ignore[attr-defined]
        self.fields["on_duplicate"].choices = [  # type: ignore[attr-defined]
            (mode, f"{label}: {_told(record.counts_by_mode[mode])}" if mode in record.counts_by_mode else label)
            for mode, label in OnDuplicate.choices
        ]
        if not (record.findings or {}).get("shared"):
            del self.fields["on_shared"]

    def clean_tags(self) -> list[str]:
        tags = split_tags(self.cleaned_data["tags"])
        if any(len(tag) > 60 for tag in tags):
            raise forms.ValidationError("A tag has at most 60 characters.")
        return tags

    @property
    def defaults(self) -> dict[str, Any]:
        return {name: self.cleaned_data[name] for name in ("status", "owner", "source", "tags")}
