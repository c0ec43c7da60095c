"""`Idempotency-Key`: a POST that is sent twice is carried out once, and answered twice the same.

The key, what it was used for and the answer are a row that commits together with whatever the request made, so that a
process killed half-way leaves both or neither. While a request is at work it holds an advisory lock of its key, which
goes with its transaction, however that ends; whoever comes meanwhile is told to wait rather than kept waiting.

Only answers that were given are kept: after an error that was raised (a bad field, a fault of ours) nothing has
happened, and the same key may be tried again. Keys are their sender's own, within one organisation, for a day.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import wraps
from typing import Any

from django.core.files.uploadedfile import UploadedFile
from django.db import connection, transaction
from django.http import QueryDict
from django.utils import timezone
from rest_framework import exceptions, mixins
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.encoders import JSONEncoder

from tenants.models import IdempotentRequest, Tenant
from tenants.throttling import principal_of

HEADER = "Idempotency-Key"
REPLAYED = "Idempotent-Replayed"
LONGEST_KEY = 255
KEPT_FOR = timedelta(hours=24)
KEPT_HEADERS = ("Location", "ETag")


class StillRunningError(exceptions.APIException):
    status_code = 409
    default_detail = "A request with this Idempotency-Key is still being carried out. Ask again in a moment."
    default_code = "still_running"
    wait = 1  # seconds: becomes Retry-After


class KeyReusedError(exceptions.APIException):
    status_code = 422
    default_detail = "This Idempotency-Key was used for another request. Use a new key for each new request."
    default_code = "key_reused"


def idempotent(method: Callable[..., Response]) -> Callable[..., Response]:
    """Make an action of a view mind the `Idempotency-Key`; without the header it works as before."""

    @wraps(method)
    def once(view: Any, request: Request, *args: Any, **kwargs: Any) -> Response:
        key = request.headers.get(HEADER)
        if key is None:
            return method(view, request, *args, **kwargs)
        if not (key.isascii() and key.isprintable() and 0 < len(key) <= LONGEST_KEY):
            raise exceptions.ValidationError({HEADER: [f"Must be 1 to {LONGEST_KEY} printable ASCII characters."]})
        with transaction.atomic():
            return _once(request, key, lambda: method(view, request, *args, **kwargs))

    once.is_idempotent = True  # type: ignore[attr-defined]  # tenants.schema describes the header
    return once


class IdempotentCreateMixin(mixins.CreateModelMixin):
    @idempotent
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().create(request, *args, **kwargs)


def _once(request: Request, key: str, carry_out: Callable[[], Response]) -> Response:
    tenant: Tenant = request.tenant  # type: ignore[attr-defined]
    principal, fingerprint = principal_of(request), fingerprint_of(request)
    if not _lock(f"{tenant.pk} {principal} {key}"):
        raise StillRunningError
    sent_before = IdempotentRequest.objects.filter(tenant=tenant, principal=principal, key=key)
    sent_before.filter(created_at__lte=timezone.now() - KEPT_FOR).delete()
    row = sent_before.first()
    if row is not None:
        return _replay(row, fingerprint)
    response = carry_out()
    if response.status_code >= 500:
        transaction.set_rollback(True)
        return response
    IdempotentRequest.objects.create(
        tenant=tenant,
        principal=principal,
        key=key,
        fingerprint=fingerprint,
        status_code=response.status_code,
        answer=_answer_of(response),  # type: ignore[misc]  # stubs take an encrypted field for text
    )
    return response


def _lock(name: str) -> bool:
    """Take a lock until the transaction ends; return False at once when another has it."""
    number = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8, person=b"idempotency").digest(), signed=True)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [number])
        return bool(cursor.fetchone()[0])


def _replay(row: IdempotentRequest, fingerprint: str) -> Response:
    if row.fingerprint != fingerprint:
        raise KeyReusedError
    return Response(row.answer["data"], row.status_code, headers={**row.answer["headers"], REPLAYED: "true"})


def _answer_of(response: Response) -> dict[str, Any]:
    headers = {name: response.headers[name] for name in KEPT_HEADERS if name in response.headers}
    return {"data": json.loads(json.dumps(response.data, cls=JSONEncoder)), "headers": headers}


def fingerprint_of(request: Request) -> str:
    """Return a digest of what is asked: method, path, query and everything in the body, files included."""
    asked = [request.method, request.get_full_path(), _plain(request.data)]
    return hashlib.sha256(json.dumps(asked, sort_keys=True, default=str).encode()).hexdigest()


def _plain(data: Any) -> Any:
    if isinstance(data, QueryDict):
        return {name: [_plain(value) for value in data.getlist(name)] for name in data}
    if isinstance(data, UploadedFile):
        digest = hashlib.sha256()
        for chunk in data.chunks():
            digest.update(chunk)
        data.seek(0)
        return [data.name, digest.hexdigest()]
    if isinstance(data, Mapping):
        return {str(name): _plain(value) for name, value in data.items()}
    if isinstance(data, list):
        return [_plain(value) for value in data]
    return data


def forget_old_keys(now: datetime) -> int:
    """Delete the keys and answers that are over a day old; return how many."""
    deleted, _ = IdempotentRequest.objects.filter(created_at__lte=now - KEPT_FOR).delete()
    return deleted
