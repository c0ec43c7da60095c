"""One file that holds an installation, and an installation out of such a file.

The file is a tar archive: `manifest.json`, `database.dump` (PostgreSQL's own format, of one moment, whatever goes on
meanwhile), `files/…`, and with `--with-keys` `secrets.env`. Nearly everything personal in it is encrypted: without the keys
of `secrets.env` (or `FIELD_ENCRYPTION_KEYS` of the environment) it cannot be read by anybody, its owner included.

Restoring fills a new database and then puts it in the other's place, so that whatever fails leaves all as it was.
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.db import connection, connections
from django.utils import timezone
from psycopg import sql

from tenants.context import in_public
from tenants.models import Tenant
from tenants.services.database import is_prepared
from thanos.embedded import ServicesError, postgres_bin
from thanos.env import secrets_file

FORMAT = 1
CANARY = b"thanotopolis"
PARTS = ("manifest.json", "database.dump", "secrets.env")

Say = Callable[[str], object]


class BackupError(Exception):
    """It cannot be done; the text says why and what to do."""


# --- making one -------------------------------------------------------------------------------------------------------


def back_up(*, target: Path, with_keys: bool) -> int:
    """Write the installation into a new file that only its owner may read; return its size. Raises BackupError."""
    if target.exists():
        raise BackupError(f"{target} exists already. Choose another name.")
    if not target.parent.is_dir():
        raise BackupError(f"There is no folder {target.parent}.")
    keys = secrets_file(settings.ENV.state_dir)
    if with_keys and not keys.exists():
        raise BackupError(f"There is no {keys}: keep SECRET_KEY and FIELD_ENCRYPTION_KEYS from your environment yourself.")
    draft = target.with_name(f".{target.name}.part")
    draft.unlink(missing_ok=True)
    try:
        with _private(draft) as out, tarfile.open(fileobj=out, mode="w") as archive:
            with tempfile.TemporaryDirectory(dir=target.parent, prefix=".backup-") as folder:
                dump = Path(folder) / "database.dump"
                _run("pg_dump", "--format=custom", "--no-owner", "--no-privileges", f"--file={dump}", dbname=_name())
                _add(archive, "manifest.json", json.dumps(_manifest()).encode())
                archive.add(dump, "database.dump")
            # After the database: every file it names is there by then, and those of deleted rows do no harm.
            if (files := _files_dir()).is_dir():
                archive.add(files, "files", filter=_without_fleeting)
            if with_keys:
                _add(archive, "secrets.env", keys.read_bytes())
        draft.rename(target)
    finally:
        draft.unlink(missing_ok=True)
    return target.stat().st_size


def _private(path: Path) -> Any:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def _manifest() -> dict[str, Any]:
    with in_public():
        names = list(Tenant.objects.real().values_list("name", flat=True))
    canary = Fernet(settings.ENV.field_encryption_keys[0]).encrypt(CANARY).decode()
    made_at = timezone.now().isoformat(timespec="seconds")
    return {"format": FORMAT, "made_at": made_at, "organisations": names, "canary": canary, "server": _server_version()}


def _server_version() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SHOW server_version_num")
        return int(cursor.fetchone()[0]) // 10_000


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode, entry.mtime = len(data), 0o600, int(timezone.now().timestamp())
    archive.addfile(entry, io.BytesIO(data))


def _without_fleeting(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return entry if entry.isfile() or entry.isdir() else None


# --- out of one -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Manifest:
    made_at: str
    organisations: list[str]
    canary: str
    server: int


def restore(*, source: Path, force: bool, say: Say) -> Manifest:
    """Make this installation what the file holds. Raises BackupError before anything is changed, if it cannot be done."""
    try:
        with tarfile.open(source) as archive:
            manifest = _read_manifest(archive)
            kept = _read(archive, "secrets.env")
            _check_target(manifest, kept, force=force)
            with tempfile.TemporaryDirectory(dir=settings.ENV.state_dir, prefix=".restore-") as name:
                folder = Path(name)
                _unpack(archive, folder)
                _replace_database(folder / "database.dump", say)
                _replace_files(folder / "files")
    except (OSError, tarfile.TarError) as error:
        raise BackupError(f"{source} cannot be read as a backup ({error}).") from None
    if kept is not None:
        _replace_keys(kept, say)
    return manifest


def _read(archive: tarfile.TarFile, name: str) -> bytes | None:
    try:
        found = archive.extractfile(name)
    except KeyError:
        return None
    return found.read() if found is not None else None


def _read_manifest(archive: tarfile.TarFile) -> Manifest:
    try:
        data = json.loads(_read(archive, "manifest.json") or b"")
        if data.pop("format") != FORMAT:
            raise BackupError("This backup was made by a version of the product that this one does not know.")
        return Manifest(**data)
    except (ValueError, KeyError, TypeError):
        raise BackupError("This file is no backup of ours: it has no manifest.") from None


def _check_target(manifest: Manifest, kept: bytes | None, *, force: bool) -> None:
    if manifest.server > (here := _server_version()):
        raise BackupError(f"The backup is of PostgreSQL {manifest.server}, and this one is {here}: a newer one is needed.")
    keys = _keys_in(kept) if kept is not None else settings.ENV.field_encryption_keys
    if not _open(manifest.canary, keys):
        raise BackupError(
            "The keys of this installation do not open this backup. Put back the secrets.env that belongs to it, or set "
            "FIELD_ENCRYPTION_KEYS and SECRET_KEY as they were. Without them the data is lost for good."
        )
    if force:
        return
    with in_public():
        if is_prepared() and (count := Tenant.objects.real().count()):
            raise BackupError(f"This installation has {count} organisations. To replace them by the backup, add --force.")
    here_keys = secrets_file(settings.ENV.state_dir)
    if kept is not None and here_keys.exists() and here_keys.read_bytes() != kept and any(_files_dir().glob("*")):
        raise BackupError("This installation has files under keys of its own. To replace both by the backup, add --force.")


def _keys_in(kept: bytes) -> list[str]:
    found = re.search(rb"^FIELD_ENCRYPTION_KEYS=(.+)$", kept, re.MULTILINE)
    return [key.strip() for key in found[1].decode().split(",")] if found else []


def _open(canary: str, keys: list[str]) -> bool:
    try:
        return MultiFernet([Fernet(key) for key in keys]).decrypt(canary.encode()) == CANARY
    except (InvalidToken, ValueError):
        return False


def _unpack(archive: tarfile.TarFile, folder: Path) -> None:
    """Only what a backup of ours has, and only into the folder: the file may have been in strangers' hands."""
    for entry in archive:
        if entry.name == "database.dump" or entry.name == "files" or entry.name.startswith("files/"):
            archive.extract(entry, folder, filter="data")


def _replace_database(dump: Path, say: Say) -> None:
    """Fill a new database and put it in the other's place."""
    name, new = _name(), f"{_name()}_restored"
    with _server() as server:
        _drop(server, new)
        try:
            server.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(new)))
        except psycopg.errors.InsufficientPrivilege:
            raise BackupError("The role of DATABASE_URL may not create databases: give it CREATEDB for this.") from None
        try:
            say("Filling a new database …")
            _run("pg_restore", "--no-owner", "--no-privileges", "--exit-on-error", f"--dbname={new}", str(dump), dbname=new)
            connections.close_all()
            old = f"{name}_replaced"
            _drop(server, old)
            _rename(server, name, old)
            try:
                _rename(server, new, name)
            except psycopg.Error:
                _rename(server, old, name)
                raise
            _drop(server, old)
        except psycopg.errors.ObjectInUse:
            raise BackupError("Other programs use the database. Stop the product on every machine first.") from None
        finally:
            _drop(server, new)


def _drop(server: Any, name: str) -> None:
    server.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(name)))


def _rename(server: Any, name: str, new: str) -> None:
    server.execute(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(name), sql.Identifier(new)))


def _replace_files(restored: Path) -> None:
    """By renaming, so that there is no moment with half of them."""
    files = _files_dir()
    old = files.with_name(f".{files.name}.replaced")
    shutil.rmtree(old, ignore_errors=True)
    if files.exists():
        files.rename(old)
    if restored.exists():
        restored.rename(files)
    shutil.rmtree(old, ignore_errors=True)


def _replace_keys(kept: bytes, say: Say) -> None:
    path = secrets_file(settings.ENV.state_dir)
    if path.exists() and path.read_bytes() != kept:
        shutil.move(path, path.with_name("secrets.env.before-restore"))
        say(f"The keys that were here are in {path.name}.before-restore.")
    draft = path.with_name("secrets.env.new")
    draft.unlink(missing_ok=True)
    with _private(draft) as out:
        out.write(kept)
    draft.rename(path)


# --- PostgreSQL's own tools -------------------------------------------------------------------------------------------


def _name() -> str:
    return str(connection.settings_dict["NAME"])


def _files_dir() -> Path:
    chosen: Any = settings.STORAGES["default"]
    return Path(chosen["OPTIONS"]["location"])


def _address(dbname: str) -> dict[str, str]:
    chosen = connection.settings_dict
    names = {"host": "HOST", "port": "PORT", "user": "USER", "password": "PASSWORD"}
    return {"dbname": dbname, **{key: str(chosen[name]) for key, name in names.items() if chosen[name]}}


def _server() -> psycopg.Connection[Any]:
    return psycopg.connect(**_address("postgres"), autocommit=True)  # type: ignore[arg-type]


def _tool(name: str) -> str:
    """Return PostgreSQL's tool: of the package, else of the system. Raises BackupError."""
    try:
        found = postgres_bin() / name
    except ServicesError:
        found = Path(shutil.which(name) or "")
    if not found.is_file():
        raise BackupError(f"{name} is missing: install PostgreSQL's client programs, or run `make install`.")
    return str(found)


def _run(tool: str, *arguments: str, dbname: str) -> None:
    """Raises BackupError with the tool's last words."""
    address = _address(dbname)
    names = {"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "password": "PGPASSWORD", "dbname": "PGDATABASE"}
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PG")}
    environment |= {names[key]: value for key, value in address.items()}
    done = subprocess.run([_tool(tool), *arguments], env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BackupError(f"{tool} failed: {done.stderr.strip()[-500:]}")
