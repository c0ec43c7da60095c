"""Regular expressions of strangers, run by an engine whose time grows with the text and not with its square or worse.

RE2 knows no look-around and no back references: a pattern with them is refused where it is written.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

import re2

MAX_LENGTH = 1_000  # characters of a pattern
# Bounds the compiled program as well, to some thousand instructions: "(a{1,100}){1,100}" is refused.
MAX_MEMORY = 256 * 1024
_UNICODE_ESCAPE = re.compile(r"(?<!\\)((?:\\\\)*)\\u([0-9A-Fa-f]{4})")


class PatternError(ValueError):
    """The pattern cannot be run; the text says why, for whoever wrote it."""


@lru_cache(maxsize=512)
def compile_pattern(pattern: str, *, ignore_case: bool = False) -> Any:
    """Return the compiled pattern, with `search(text)` and `programsize`. Raises PatternError.

    JSON Schema's dialect writes `\\u00e9` where RE2 writes `\\x{00e9}`.
    """
    if len(pattern) > MAX_LENGTH:
        raise PatternError(f"A pattern can have {MAX_LENGTH} characters at most.")
    options = re2.Options()
    options.log_errors = False
    options.max_mem = MAX_MEMORY
    options.case_sensitive = not ignore_case
    try:
        return re2.compile(_UNICODE_ESCAPE.sub(r"\1\\x{\2}", pattern), options)
    except (re2.error, UnicodeError) as error:
        told = error.args[0] if error.args else b""
        why = told.decode("utf-8", "replace") if isinstance(told, bytes) else "it is not valid"
        raise PatternError(f"The pattern “{pattern[:60]}” cannot be used: {why[:100]}.") from None
