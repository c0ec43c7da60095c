"""Personal data at rest: encrypted fields, and keyed blind indexes to find them again.

`FIELD_ENCRYPTION_KEYS` lists Fernet keys; the first encrypts, all of them decrypt, so a key is replaced by putting a
new one in front and running `manage.py rotate_keys`. A blind index is an HMAC of the normalised value: equal values
can be found, nothing can be read back. Lookups try every key, so they keep working half-way through a rotation.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.db import models

from base.addresses import comparable
from base.words import index_words, query_words
from thanos.env import environment

INDEX_LENGTH = 32  # hex digits: 128 bits
WORD_LENGTH = 12  # hex digits: 48 bits are enough to find a word, and keep the index small


class DecryptionError(ValueError):
    """A stored value was written with a key that is not in FIELD_ENCRYPTION_KEYS."""


@lru_cache(maxsize=4)
def _cipher(keys: tuple[str, ...]) -> MultiFernet:
    return MultiFernet([Fernet(key) for key in keys])


def _keys() -> tuple[str, ...]:
    return tuple(environment().field_encryption_keys)


def encrypt(data: bytes) -> bytes:
    return _cipher(_keys()).encrypt(data)


def decrypt(token: bytes) -> bytes:
    """Raises DecryptionError."""
    try:
        return _cipher(_keys()).decrypt(token)
    except InvalidToken:
        raise DecryptionError("The value was encrypted with a key that is not configured.") from None


def is_current(token: bytes) -> bool:
    """Tell whether a value is already encrypted under the first key."""
    try:
        Fernet(_keys()[0]).decrypt(token)
    except InvalidToken:
        return False
    return True


@lru_cache(maxsize=8)
def _index_key(key: str) -> bytes:
    return hashlib.blake2b(key.encode(), person=b"blind-index").digest()


def _digest(key: str, value: str) -> str:
    return hmac.new(_index_key(key), value.encode(), hashlib.sha256).hexdigest()


def normalise(value: str) -> str:
    return comparable(value) if "@" in value else "".join(value.split()).casefold()


def blind_index(value: str) -> str:
    """Return what is stored beside an encrypted value to find it by; empty for an empty value."""
    return _digest(_keys()[0], normalise(value))[:INDEX_LENGTH] if value else ""


def blind_indexes(value: str) -> list[str]:
    """Return the indexes under every configured key, for look-ups: `filter(from_index__in=blind_indexes(number))`."""
    return [_digest(key, normalise(value))[:INDEX_LENGTH] for key in _keys()] if value else []


def words(text: str) -> list[str]:
    """Return the words to look for in a search, folded; each is an index of every text that has it (`blind_words`)."""
    return query_words(text)


def blind_words(text: str) -> list[str]:
    """Return one index per distinct word of a text, so that it can be searched by whole words without being readable.

    What a word is, in every script, `base.words` says.
    """
    key = _keys()[0]
    return sorted(_digest(key, word)[:WORD_LENGTH] for word in index_words(text))  # in no order of the words themselves


def blind_word(word: str) -> list[str]:
    """Return the indexes of one word of `words` under every configured key."""
    return [_digest(key, word)[:WORD_LENGTH] for key in _keys()]


class EncryptedTextField(models.TextField):  # type: ignore[type-arg]
    """Text that is encrypted in the database and plain in Python. It cannot be filtered by; keep a blind index."""

    def get_prep_value(self, value: Any) -> Any:
        value = super().get_prep_value(value)
        return encrypt(value.encode()).decode() if value else value

    def from_db_value(self, value: str | None, *_: object) -> str | None:
        return decrypt(value.encode()).decode() if value else value

    def get_lookup(self, lookup_name: str) -> Any:
        if lookup_name != "isnull":
            raise TypeError(f"{self.name} is encrypted: filter by its blind index instead of {lookup_name!r}")
        return super().get_lookup(lookup_name)


class EncryptedJSONField(EncryptedTextField):
    """A JSON value, encrypted as a whole."""

    def get_prep_value(self, value: Any) -> Any:
        return None if value is None else super().get_prep_value(json.dumps(value))

    def from_db_value(self, value: str | None, *_: object) -> Any:
        text = super().from_db_value(value)
        return None if not text else json.loads(text)

    def value_to_string(self, obj: models.Model) -> str:
        return json.dumps(self.value_from_object(obj))

    def to_python(self, value: Any) -> Any:
        return value


def encrypted_fields(model: type[models.Model]) -> Iterable[EncryptedTextField]:
    return [field for field in model._meta.get_fields() if isinstance(field, EncryptedTextField)]
