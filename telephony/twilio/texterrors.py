"""The carrier's error codes of text messages, in words. Source: Twilio, "Error and warning dictionary", read 2026-11-20."""

from __future__ import annotations

OPTED_OUT = 21610
TOO_MANY_REQUESTS = 20429

_WORDS = {
    20003: "The carrier did not accept our account.",
    TOO_MANY_REQUESTS: "The carrier had too many requests at once.",
    21211: "The carrier says that this is no number.",
    21408: "The carrier account may not send texts to this country.",
    21602: "The text was empty.",
    21606: "Our number cannot send texts.",
    OPTED_OUT: "They wrote STOP: the carrier sends them nothing until they write START.",
    21612: "The carrier cannot reach this number from ours.",
    21614: "The number is no mobile phone.",
    21617: "The text was too long.",
    30001: "The carrier's queue was full.",
    30003: "The phone could not be reached: it may be switched off.",
    30004: "The number blocks texts from us.",
    30005: "The number does not exist, or is out of service.",
    30006: "The number is a landline, or cannot get texts.",
    30007: "A network filtered the text out as unwanted.",
    30008: "The network did not deliver it, and does not say why.",
    30034: "Our number is not registered for texts to this country.",
}


def explain(code: int | None) -> str:
    """Return a sentence for an error code; the bare code where we know no words, empty without one."""
    if code is None:
        return ""
    return _WORDS.get(code, f"The carrier's error {code}.")
