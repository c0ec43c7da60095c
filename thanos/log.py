"""Log lines: one event each, with its fields, the tenant and the call, and nothing personal.

`Redact` is the net under the rule that messages are constant and fields are ids: whatever looks like a telephone
number or an e-mail address is masked, in messages, in fields and in tracebacks.
"""

from __future__ import annotations

import logging
import re
import traceback
from datetime import UTC, datetime
from typing import Any

# With its country code, or ten digits and more without: what is masked too much is only a counter.
_NUMBER = re.compile(r"(?:(?:(?<!\w)\+|%2B|(?<![\w.-])00)[1-9]\d{6,14}|(?<![\w.-])\d{10,15})(?![\w-])")
# Paths whose last part is a key: invitations, recipients' own pages, and where the provider brings answers.
_KEY_IN_PATH = re.compile(r"(/(?:join|mail/[up]|api/webhooks/sendgrid/inbound)/)[^/\s]+")
_SECRET = re.compile(r"\b(tht|whsec)_[\w-]+")  # API tokens, and what webhooks are signed with
_EMAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def redact(text: str) -> str:
    text = _SECRET.sub(r"\1_[secret]", text)
    return _KEY_IN_PATH.sub(r"\1[token]", _EMAIL.sub("[e-mail]", _NUMBER.sub("[number]", text)))


class Redact(logging.Filter):
    """Masks personal data and stamps the tenant the line belongs to."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg = redact(record.getMessage())
        record.args = None
        vars(record).pop("request", None)  # Django attaches it, with its query string
        for name, value in self._fields(record).items():
            if value is not None and not isinstance(value, bool | int | float):
                setattr(record, name, redact(str(value)))
        if not hasattr(record, "tenant"):
            record.tenant = self._tenant()
        return True

    @staticmethod
    def _fields(record: logging.LogRecord) -> dict[str, Any]:
        return {name: value for name, value in vars(record).items() if name not in _STANDARD}

    @staticmethod
    def _tenant() -> str | None:
        from django.db import connection

        schema = getattr(connection, "schema_name", None)
        return None if schema in (None, "public") else schema


class LineFormatter(logging.Formatter):
    """`2026-11-20T10:00:00Z INFO telephony: Call answered. tenant=t_ab call=…`"""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
        fields = {name: value for name, value in vars(record).items() if name not in _STANDARD and value is not None}
        line = f"{at} {record.levelname} {record.name}: {record.getMessage()}"
        line += "".join(f" {name}={value}" for name, value in sorted(fields.items()))
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line

    def formatException(self, ei: Any) -> str:  # logging's name
        """Where it happened and what kind of error it was, without its text, which may quote a caller."""
        frames = "".join(traceback.format_tb(ei[2])) if ei[2] is not None else ""
        return f"Traceback (most recent call last):\n{frames}{ei[0].__module__}.{ei[0].__qualname__}"
