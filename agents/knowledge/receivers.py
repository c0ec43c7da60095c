from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from django.core.files.storage import default_storage
from django.dispatch import receiver

from agents.knowledge.models import Document
from tenants.signals import tenant_deleted, tenant_exporting
from thanos.encryption import decrypt


@receiver(tenant_exporting)
def export_files(folder: Path, **_: Any) -> None:
    for document in Document.objects.exclude(path=""):
        target = folder / "knowledge" / f"{document.pk}-{Path(document.file_name).name}"
        target.parent.mkdir(exist_ok=True)
        with default_storage.open(document.path) as file:
            target.write_bytes(decrypt(file.read()))


@receiver(tenant_deleted)
def delete_files(schema: str, **_: Any) -> None:
    shutil.rmtree(default_storage.path(f"{schema}/knowledge"), ignore_errors=True)
