from __future__ import annotations

from typing import Any

from django import forms

from crm.contactfields import split_tags
from crm.enums import FieldType, Status
from crm.fieldtypes import DAY_LABELS
from crm.imports import mapping as columns
from crm.imports.enums import FileKind, OnDuplicate
from crm.imports.models import ContactImport
from crm.imports.services.uploading import custom_fields, questions
from crm.imports.sniffing import DELIMITERS, ENCODINGS
from crm.models import ContactStatus
from tenants.context import current_tenant
from tenants.models import Membership


class UploadForm(forms.Form):
    file = forms.FileField(
        label="File",
        allow_empty_file=True,  # the service says so in better words
        help_text="CSV or XLSX, with one contact in each row. Nothing is changed before you have seen what would happen.",
        widget=forms.FileInput(attrs={"accept": ".csv,.tsv,.txt,.xlsx"}),
    )


class ReadingForm(forms.Form):
    """How the file is cut into rows and cells."""

    encoding = forms.ChoiceField(label="Characters", choices=list(ENCODINGS.items()), required=False)
    delimiter = forms.ChoiceField(label="Cells end with", choices=list(DELIMITERS.items()), required=False)
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


class ColumnsForm(forms.Form):
    """What each column becomes, and how its days and numbers are meant."""

    day_format = forms.ChoiceField(
        label="Days are written as",
        required=False,
        choices=[("", "Any of the usual ways"), *DAY_LABELS.items()],
    )
    region = forms.RegexField(
        r"^[A-Za-z]{2}$",
        label="Country of numbers written without one",
        required=False,
        max_length=2,
        help_text="Two letters, such as DE or US.",
    )

    def __init__(self, *args: Any, record: ContactImport, samples: list[list[str]], **kwargs: Any) -> None:
        kwargs["initial"] = {"day_format": record.day_format, "region": record.region}
        super().__init__(*args, **kwargs)
        self.record, self.samples = record, samples
        self.questions = questions(record)
        self.labels = columns.targets(custom_fields())
        choices = self._choices()
        for position, target in enumerate(record.mapping):
            self.fields[f"column_{position}"] = forms.ChoiceField(
                label=record.headers[position],
                choices=choices,
                required=False,
                initial=target or self.questions.get(position, ""),
            )

    def _choices(self) -> list[Any]:
        new = [(columns.NEW + kind, f"New field: {FieldType(kind).label.lower()}") for kind in columns.NEW_TYPES]
        return [("", "— leave out —"), ("Fields", list(self.labels.items())), ("A field that is not here yet", new)]

    def clean_region(self) -> str:
        import phonenumbers

        region = str(self.cleaned_data["region"]).upper()
        if region and region not in phonenumbers.SUPPORTED_REGIONS:
            raise forms.ValidationError("There is no such country. Two letters, such as DE or US.")
        return region

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
            }
            for position, header in enumerate(self.record.headers)
        ]

    @property
    def mapping(self) -> list[str]:
        return [self.cleaned_data[f"column_{position}"] for position in range(len(self.record.headers))]


class StartForm(forms.Form):
    on_duplicate = forms.ChoiceField(
        label="When a contact is there already",
        choices=OnDuplicate.choices,
        widget=forms.RadioSelect,
        initial=OnDuplicate.SKIP,
        help_text="Updating replaces what a filled cell says otherwise, adds tags and numbers, and empties nothing.",
    )
    status = forms.ChoiceField(label="Status of new contacts", required=False)
    owner = forms.TypedChoiceField(label="Owner, where a row names none", required=False, coerce=int, empty_value=None)
    source = forms.CharField(label="Source, where a row names none", required=False, max_length=80)
    tags = forms.CharField(label="Tags for all rows", required=False, max_length=500, help_text="Separated by commas.")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        labels = [(status.key, status.label) for status in ContactStatus.objects.all()] or list(Status.choices)
        self.fields["status"].choices = [("", "As usual: lead"), *labels]  # type: ignore[attr-defined]
        members = Membership.objects.filter(tenant=current_tenant()).select_related("user").order_by("user__name")
        people = [(member.user_id, member.user.get_full_name()) for member in members if member.can_manage]
        self.fields["owner"].choices = [("", "Nobody"), *people]  # type: ignore[attr-defined]

    def clean_tags(self) -> list[str]:
        tags = split_tags(self.cleaned_data["tags"])
        if any(len(tag) > 60 for tag in tags):
            raise forms.ValidationError("A tag has at most 60 characters.")
        return tags

    @property
    def defaults(self) -> dict[str, Any]:
        return {name: self.cleaned_data[name] for name in ("status", "owner", "source", "tags")}
