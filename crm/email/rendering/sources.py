"""What a template consists of. No I/O, no Django: also imported by the process that renders."""

from __future__ import annotations

from dataclasses import dataclass

PARTS = ("subject", "html", "text")
MAX_PART_BYTES = 500_000  # of a template's part as written, and of one as rendered
MAX_SUBJECT = 400  # characters as written: what the column holds


@dataclass(frozen=True, slots=True)
class Source:
    """A template as it is written. An empty `text` is made from `html`."""

    subject: str
    html: str
    text: str = ""
