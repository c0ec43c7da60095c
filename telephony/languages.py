"""Which language a line speaks, and whether what listens and speaks for it knows that language. Pure.

What a name says is certain: `flux-general-en` hears English alone, `aura-2-thalia-en` speaks nothing else. Lists of what
multilingual models know (data/languages.json) are the providers' and change, so beside them there is only doubt.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

_DATA = Path(__file__).resolve().parent / "data" / "languages.json"
_DEEPGRAM_VOICE = re.compile(r"(?:aura|flux)-(?:[a-z0-9]+-)+([a-z]{2})")
_LISTENING = re.compile(r"(?:flux|nova|enhanced|base)[a-z0-9-]*-([a-z]{2})")
# Models for one trade or one kind of recording: there are none but English ones.
_ENGLISH_ONLY = re.compile(r"nova-[23]-(?:medical|phonecall|meeting|finance|conversationalai|voicemail|video|automotive)")
_GOOGLE = re.compile(r"Google\.([a-z]{2,3})-[A-Z]{2}\b.*")


@lru_cache(maxsize=1)
def _data() -> dict[str, Any]:
    return dict(json.loads(_DATA.read_text()))


def known_languages() -> dict[str, str]:
    """Return the name of every language a line can be set to, by its code."""
    return dict(_data()["languages"])


def name_of(code: str) -> str:
    names = known_languages()
    return names.get(code) or names.get(base_of(code)) or code


def base_of(code: str) -> str:
    return code.split("-")[0].casefold()


def heard_by(model: str) -> str:
    """Return the only language a listening model hears, or nothing where its name does not say so."""
    if _ENGLISH_ONLY.fullmatch(model):
        return "en"
    found = _LISTENING.fullmatch(model)
    return found.group(1) if found else ""


def spoken_by(voice: str) -> str:
    """Return the language of a voice, of the agent's provider or the carrier's; nothing where its name does not say so."""
    for pattern in (_DEEPGRAM_VOICE, _GOOGLE):
        if found := pattern.fullmatch(voice):
            return found.group(1)
    plain = re.sub(r"-(?:Neural|Generative|Long-Form)$", "", voice)
    return str(_data()["carrier_voices"].get(plain, ""))


def conflicts(language: str, *, listening: Mapping[str, str], voices: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield field and fault for every model and voice, by field, that cannot work in a language."""
    base, name = base_of(language), name_of(language)
    for verb, named, of in (("hears", listening, heard_by), ("speaks", voices, spoken_by)):
        for field, model in named.items():
            only = of(model)
            if only and only != base:
                what = "a listening model that hears" if verb == "hears" else "a voice that speaks"
                yield field, f"{model} {verb} {name_of(only)} alone. Name {what} {name}."


def doubt(language: str, model: str) -> str:
    """Return a sentence where a multilingual listening model is not known to hear a language; else nothing."""
    known = _data()["listening"].get(model)
    if known is None or base_of(language) in known:
        return ""
    return f"{model} is not known to hear {name_of(language)}. Make a test call before you rely on it."
