"""django-import-export on our table: the product does not depend on it, so it is installed for the run and goes with it.

It is given the same fields and the same parsing of each cell, and finds duplicates by e-mail address only: as it comes,
with its bulk mode switched on, and with all contacts of the file looked up at once beside that, which needs memory.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.children import Done, Meter, in_child

PACKAGES = ["django-import-export==4.4.3", "tablib==3.10.0", "diff-match-patch==20241021"]
INSTALL_S = 120.0
BULK = "in bulk"
WAYS = {  # the class that looks up what is there, and whether rows are written many at once
    "as it comes": ("ModelInstanceLoader", ""),
    BULK: ("ModelInstanceLoader", "bulk"),
    "in bulk, looking up all at once": ("CachedInstanceLoader", "bulk"),
}
KEYS = ["contact_name", "business_name", "contact_email", "phones", "contact_role", "city", "state", "postal_code"]
KEYS += ["country", "status", "value", "source", "tags", "website", "notes"]


def measure(folder: Path, path: Path, organisation: Callable[[], str]) -> dict[str, Done] | str:
    """Return what each way did, or why nothing could be measured."""
    library = folder / "django-import-export"
    # Without what they depend on: Django is ours.
    command = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--target", str(library), "--no-deps", *PACKAGES]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=INSTALL_S)
    except subprocess.CalledProcessError as error:
        return f"could not be installed: {error.stderr.strip()[-160:]}"
    except subprocess.TimeoutExpired:
        return f"could not be installed within {INSTALL_S:.0f} s"
    return {name: in_child(carry_out, organisation(), str(path), *way, library=library) for name, way in WAYS.items()}


def carry_out(meter: Meter, schema: str, path: str, loader: str, bulk: str) -> int:
    from import_export import instance_loaders  # type: ignore[import-untyped]
    from tablib import Dataset  # type: ignore[import-not-found]

    from crm.models import Contact
    from tenants.context import entered_schema

    with entered_schema(schema):
        resource = _resource(getattr(instance_loaders, loader), bulk=bool(bulk))
        before = Contact.objects.count()
        with meter.timed("write"):
            dataset = Dataset().load(Path(path).read_text(encoding="utf-8"), format="csv")
            resource.import_data(dataset, raise_errors=True, use_transactions=True)
        created = int(Contact.objects.count()) - before
        if created != len(dataset):
            raise RuntimeError(f"{created} of {len(dataset)} rows were written")
        return created


def _resource(loader: type, *, bulk: bool) -> Any:
    from import_export.fields import Field  # type: ignore[import-untyped]
    from import_export.resources import ModelResource  # type: ignore[import-untyped]

    from crm.contactfields import FIELDS
    from crm.fieldtypes import Reading, parse
    from crm.models import Contact, CustomField
    from thanos.encryption import blind_index

    reading = Reading()
    employees = CustomField.objects.get()

    class Meta:
        model = Contact
        fields = ["email_index", *KEYS]
        import_id_fields = ["email_index"]
        instance_loader_class = loader
        use_bulk = skip_diff = bulk

    def before_import(self: Any, dataset: Any, **_: Any) -> None:
        column = dataset.headers.index(FIELDS["contact_email"].label)
        dataset.append_col([blind_index(row[column]) for row in dataset], header="email_index")

    def before_save_instance(self: Any, instance: Contact, row: Any, **_: Any) -> None:
        instance.phone_indexes = [blind_index(phone["number"]) for phone in instance.phones]
        value = parse(employees, row[employees.label], reading)
        instance.custom_fields = {} if value is None else {employees.key: value}

    def skip_row(self: Any, instance: Contact, original: Any, row: Any, import_validation_errors: Any = None) -> bool:
        return instance.pk is not None

    cells = {key: Field(key, FIELDS[key].label, _widget(FIELDS[key].parse, reading)) for key in KEYS}
    body = {"Meta": Meta, "email_index": Field("email_index", "email_index"), **cells}
    body |= {"before_import": before_import, "before_save_instance": before_save_instance, "skip_row": skip_row}
    return type(ModelResource)("ContactResource", (ModelResource,), body)()


def _widget(parse: Callable[[str, Any], Any], reading: Any) -> Any:
    """Return what reads a cell as our import does."""
    from import_export.widgets import Widget  # type: ignore[import-untyped]

    class Parsed(Widget):  # type: ignore[misc]
        def clean(self, value: Any, row: Any = None, **_: Any) -> Any:
            return parse(value, reading) if value else self.empty

    widget = Parsed()
    widget.empty = {"_value": None, "_phones": [], "_tags": []}.get(parse.__name__, "")
    return widget
