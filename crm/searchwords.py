"""The words contacts are found by, cut in the database: `public.crm_words` does there what `base.words` does in Python.

What is stored and what is looked for go through the same function, so that they agree whatever the text, the locale of
the database or its version. It is made of tables of characters taken from `base.words` itself, and relies on nothing of
PostgreSQL's own idea of letters: `lower()` and `\\w` know only ASCII where a database was made with the locale C.

A change of `base.words` needs a migration that installs the functions and fills `Contact.search` again.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import pairwise

from django.contrib.postgres.search import SearchQueryField, SearchVectorField
from django.db import models

from base.words import MAX_WORD, fold, is_unspaced

_LAST = 0x2FFFF  # behind, nothing is a letter
# Capitals of one script are looked for by one table, so that a text of another need not pass through it.
_BLOCKS = ((0x80, 0x36F), (0x370, 0x3FF), (0x400, 0x52F), (0x530, _LAST))
REMOVE = """
DROP FUNCTION IF EXISTS public.crm_query(text);
DROP FUNCTION IF EXISTS public.crm_words(text, boolean);
DROP FUNCTION IF EXISTS public.crm_fold(text);
"""


class WordsVector(models.Func):
    """The words of several columns as a search vector. Of a postal code the blanks are optional."""

    output_field = SearchVectorField()
    arg_joiner = " || ' ' || "
    template = "array_to_tsvector(public.crm_words(%(expressions)s || ' ' || replace(postal_code, ' ', ''), true))"


class WordsQuery(models.Func):
    """What finds every word of a text as the beginning of a word."""

    function = "public.crm_query"
    output_field = SearchQueryField()


@lru_cache(maxsize=1)
def install_sql() -> str:
    """Return what makes the functions, or makes them anew. Every tenant's migration does; they wait for each other."""
    folding = "".join(_replacements())
    return f"""
SELECT pg_advisory_xact_lock(hashtextextended('crm_words', 0));

CREATE OR REPLACE FUNCTION public.crm_fold(body text) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $body$
BEGIN
  IF octet_length(body) = length(body) THEN
    RETURN lower(body COLLATE "C");
  END IF;
  body := lower(normalize(body, NFKD) COLLATE "C");
{folding}
  RETURN normalize(regexp_replace(body, '[{_ranges(_accents())}]', '', 'g'), NFC);
END
$body$;

CREATE OR REPLACE FUNCTION public.crm_words(body text, single boolean) RETURNS text[]
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $body$
DECLARE
  found text[] := '{{}}';
  run text;
  letters text[];
BEGIN
  body := public.crm_fold(body);
  IF octet_length(body) = length(body) THEN
    found := string_to_array(regexp_replace(body, '[^a-z0-9]+', ' ', 'g'), ' ');
  ELSE
    body := regexp_replace(body, '[{_ranges(_separators())}]+', ' ', 'g');
    IF body !~ '[{_ranges(_unspaced())}]' THEN
      found := string_to_array(body, ' ');
    ELSE
      FOR run IN SELECT matched[1] FROM regexp_matches(
        body, '[{_ranges(_unspaced())}]+|[^ {_ranges(_unspaced())}]+', 'g') AS matched
      LOOP
        IF run !~ '^[{_ranges(_unspaced())}]' THEN
          found := found || run;
          CONTINUE;
        END IF;
        letters := ARRAY(SELECT matched[1] FROM regexp_matches(
          run, '[^{_ranges(_unspaced_marks())}][{_ranges(_unspaced_marks())}]*|[{_ranges(_unspaced_marks())}]+', 'g'
        ) AS matched);
        IF single OR cardinality(letters) = 1 THEN
          found := found || letters;
        END IF;
        found := found || ARRAY(SELECT letters[n] || letters[n + 1] FROM generate_series(1, cardinality(letters) - 1) AS n);
      END LOOP;
    END IF;
  END IF;
  IF EXISTS (SELECT FROM unnest(found) AS word WHERE length(word) > {MAX_WORD}) THEN
    found := ARRAY(
      SELECT substr(word, start, {MAX_WORD})
      FROM unnest(found) AS word, generate_series(1, length(word), {MAX_WORD}) AS start
    );
  END IF;
  RETURN array_remove(found, '');
END
$body$;

CREATE OR REPLACE FUNCTION public.crm_query(body text) RETURNS tsquery
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $body$
  SELECT coalesce(string_agg(DISTINCT '''' || word || ''':*', ' & '), '')::tsquery
  FROM unnest(public.crm_words(body, false)) AS word
$body$;
"""


def _replacements() -> Iterator[str]:
    """Yield the statements that put each letter's folded form in its place."""
    single: dict[str, str] = {}
    for letter, folded in _folded().items():
        if len(folded) == 1 and folded != letter:
            single[letter] = folded
        elif len(folded) > 1:
            yield f"  body := replace(body, '{letter}', '{folded}');\n"
    for first, last in _BLOCKS:
        block = {letter: folded for letter, folded in single.items() if first <= ord(letter) <= last}
        yield f"  IF body ~ '[{_ranges(map(ord, block))}]' THEN\n"
        yield f"    body := translate(body, '{''.join(block)}', '{''.join(block.values())}');\n  END IF;\n"


@lru_cache(maxsize=1)
def _folded() -> dict[str, str]:
    """Return what the characters fold to that are still there once a text was taken apart, ASCII excepted."""
    letters = (chr(code) for code in range(0x80, _LAST) if not 0xD800 <= code <= 0xDFFF)
    known = (letter for letter in letters if unicodedata.category(letter) != "Cn")
    return {letter: fold(letter) for letter in known if unicodedata.is_normalized("NFKD", letter)}


def _accents() -> Iterator[int]:
    return (ord(letter) for letter, folded in _folded().items() if not folded)


def _separators() -> Iterator[int]:
    for code in range(1, 0x110000):
        kind = unicodedata.category(chr(code))
        is_word = kind[0] in "LN" or (kind in ("Mn", "Mc") and 0x300 <= code < 0x1FFFF)
        if not is_word and not 0xD800 <= code <= 0xDFFF:
            yield code


@lru_cache(maxsize=1)
def _unspaced() -> list[int]:
    codes = (code for code in range(0x80, _LAST + 0x10000) if not 0xD800 <= code <= 0xDFFF)
    return [code for code in codes if is_unspaced(chr(code))]


def _unspaced_marks() -> Iterator[int]:
    return (code for code in _unspaced() if code < 0x1FFFF and unicodedata.category(chr(code)) in ("Mn", "Mc"))


def _ranges(codes: Iterable[int]) -> str:
    """Return the inside of a bracket expression; what means something there is written by its number."""
    known = sorted(codes)
    starts = known[:1] + [b for a, b in pairwise(known) if b != a + 1]
    ends = [a for a, b in pairwise(known) if b != a + 1] + known[-1:]
    return "".join(
        _written(start) if start == end else f"{_written(start)}-{_written(end)}"
        for start, end in zip(starts, ends, strict=True)
    )


def _written(code: int) -> str:
    return f"\\U{code:08X}"
