"""An organization's settings of text messages."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from telephony.texting.models import TextingSettings

_DEFAULTS = Path(__file__).resolve().parent.parent / "data" / "defaults.json"


@lru_cache(maxsize=1)
def texting_defaults() -> dict[str, Any]:
    return dict(json.loads(_DEFAULTS.read_text()))


def texting_settings() -> TextingSettings:
    """Return the entered tenant's settings; the row is made when it is first asked for."""
    settings, _ = TextingSettings.objects.get_or_create(pk=1, defaults=texting_defaults())
    return settings
