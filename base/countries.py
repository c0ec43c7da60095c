"""Countries by whatever they are called: codes and names, in some fifty languages, from Unicode's CLDR."""

from __future__ import annotations

from functools import lru_cache

from base.words import query_words

# What people write and no list has. Parts of the United Kingdom are of one country, as time zones and dialing go.
_ALSO = {
    "usa": "US",
    "america": "US",
    "britain": "GB",
    "great britain": "GB",
    "england": "GB",
    "scotland": "GB",
    "wales": "GB",
    "northern ireland": "GB",
    "holland": "NL",
    "czech republic": "CZ",
    "korea": "KR",
    "ivory coast": "CI",
    "uae": "AE",
    "emirates": "AE",
    "turkey": "TR",
    "vatican": "VA",
    "macedonia": "MK",
    "burma": "MM",
    "swaziland": "SZ",
    "republic of ireland": "IE",
    "hong kong": "HK",
    "macau": "MO",
    "congo": "CG",
    "grossbritannien": "GB",
    "grande bretagne": "GB",
    "gran bretana": "GB",
    "inghilterra": "GB",
}
# Where two languages mean different countries by one word, the earlier one wins.
_LANGUAGES = (
    "en de fr es it pt nl ru zh ja ko ar he fa ur hi bn ta te mr th vi id ms fil tr az kk uk be bg sr"
    " hr bs sl mk sq el ro hu pl cs sk da sv nb fi et lv lt is ga cy ca eu gl af sw am ka hy my km lo zh_Hant"
)


def country_code(name: str) -> str:
    """Return the two letters (ISO 3166) of a country given by a code or a name in any common language; "" if unknown.

    >>> country_code("Deutschland"), country_code("U.K."), country_code("usa")
    ('DE', 'GB', 'US')
    """
    return _names().get(_key(name), "") if name and len(name) < 100 else ""


def _key(name: str) -> str:
    """Return words that are compared; of an abbreviation its letters without points."""
    words = query_words(name)
    return "".join(words) if all(len(word) == 1 for word in words) else " ".join(words)


@lru_cache(maxsize=1)
def _names() -> dict[str, str]:
    """Return the codes by folded name. Reading all languages takes a third of a second, once for each process that asks."""
    from babel import Locale
    from babel.core import get_global

    territories = map(str, Locale("en").territories)
    codes = {code for code in territories if len(code) == 2 and code.isalpha() and code not in ("ZZ", "EU")}
    found = {_key(code): code for code in codes} | _ALSO
    for alias, names in get_global("territory_aliases").items():
        if len(names) == 1 and names[0] in codes and alias.isalpha():  # DEU, and countries that are called otherwise now
            found.setdefault(_key(alias), names[0])
    for language in _LANGUAGES.split():
        for code, name in Locale.parse(language).territories.items():
            if code in codes:
                found.setdefault(_key(str(name)), str(code))
    return found
