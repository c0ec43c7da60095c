"""Durable words: Redis, then PostgreSQL, then a file; nothing twice, nothing lost."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Coroutine
from typing import Any

import pytest
from django.db import InternalError, OperationalError
from redis.exceptions import ConnectionError as RedisConnectionError

from telephony.enums import EventKind
from telephony.models import Call, CallEvent, CallMessage
from telephony.tests.factories import add_message, make_call
from telephony.transcripts import batch, figures, journal, spool, store
from telephony.transcripts.batch import pending_entries, put, write_pending
from telephony.transcripts.entries import (
    DEAD_STREAM,
    STREAM,
    Entry,
    event_entry,
    heard_entry,
    latency_entry,
    message_entry,
)
from telephony.transcripts.history import said_so_far
from telephony.transcripts.journal import Journal
from telephony.transcripts.store import write_entries
from tenants.context import entered
from thanos.redis import close_async_client, sync_client

WORDS = "My number is 5550199 and my cat is called Mephisto."


def entries_for(call: Call, schema: str) -> list[Entry]:
    pk = str(call.pk)
    return [
        message_entry(schema, pk, 1, "user", WORDS),
        latency_entry(schema, pk, 2, {"total": 300}),
        message_entry(schema, pk, 2, "assistant", "A fine name."),
        event_entry(schema, pk, 3, EventKind.BARGE_IN, {"unheard_ms": 5}),
        latency_entry(schema, pk, 2, {"think": 90}),
    ]


def test_entries_reach_the_tables_and_leave_the_stream(in_alice):
    call = make_call()
    put(entries_for(call, in_alice.schema_name))

    assert write_pending() == 5

    assert [(m.sequence, m.role, m.text) for m in call.messages.all()] == [
        (1, "user", WORDS),
        (2, "assistant", "A fine name."),
    ]
    assert call.messages.get(sequence=2).latency == {"total": 300, "think": 90}
    assert [(e.kind, e.detail) for e in call.events.all()] == [("barge-in", {"unheard_ms": 5})]
    assert sync_client().xlen(STREAM) == 0


def test_a_batch_written_twice_changes_nothing(in_alice):
    call = make_call()
    entries = entries_for(call, in_alice.schema_name)

    write_entries(entries)
    write_entries(entries)

    assert (CallMessage.objects.count(), CallEvent.objects.count()) == (2, 1)


def test_a_worker_killed_between_commit_and_acknowledgement_loses_and_doubles_nothing(in_alice, monkeypatch):
    call = make_call()
    put(entries_for(call, in_alice.schema_name))

    def killed(entries):
        write_entries(entries)
        raise KeyboardInterrupt

    monkeypatch.setattr(batch, "write_entries", killed)
    with pytest.raises(KeyboardInterrupt):
        write_pending()
    monkeypatch.undo()
    assert sync_client().xlen(STREAM) == 5

    write_pending()
    assert (CallMessage.objects.count(), sync_client().xlen(STREAM)) == (2, 0)


def test_the_database_away_leaves_entries_where_they_are(in_alice, monkeypatch):
    call = make_call()
    put(entries_for(call, in_alice.schema_name))
    monkeypatch.setattr(batch, "write_entries", _raise(OperationalError("away")))

    with pytest.raises(OperationalError):
        write_pending()

    assert sync_client().xlen(STREAM) == 5


def test_words_are_not_readable_in_redis(in_alice):
    call = make_call()
    put(entries_for(call, in_alice.schema_name))

    stored = b"".join(fields[b"e"] for _, fields in sync_client().xrange(STREAM))

    assert b"Mephisto" not in stored
    assert b"5550199" not in stored


def test_words_are_not_readable_in_the_database(in_alice):
    from django.db import connection

    call = make_call()
    add_message(call, 1, "user", WORDS)

    with connection.cursor() as cursor:
        cursor.execute("SELECT text::text || words::text FROM telephony_callmessage")
        (stored,) = cursor.fetchone()

    assert "Mephisto" not in stored
    assert "mephisto" not in stored


def test_entries_of_two_tenants_in_one_batch_stay_apart(alice, bob):
    with entered(alice):
        hers = make_call()
    with entered(bob):
        his = make_call(call_sid=hers.call_sid + "b")
    put(
        [
            message_entry(alice.schema_name, str(hers.pk), 1, "user", "for Alice"),
            message_entry(bob.schema_name, str(his.pk), 1, "user", "for Bob"),
        ]
    )

    write_pending()

    with entered(alice):
        assert [m.text for m in CallMessage.objects.all()] == ["for Alice"]
    with entered(bob):
        assert [m.text for m in CallMessage.objects.all()] == ["for Bob"]


def test_an_entry_that_names_another_tenants_call_is_set_aside(alice, bob):
    with entered(alice):
        hers = make_call()
    put([message_entry(bob.schema_name, str(hers.pk), 1, "user", "misdirected")])

    write_pending()

    with entered(alice):
        assert not CallMessage.objects.exists()
    assert (sync_client().xlen(STREAM), sync_client().xlen(DEAD_STREAM)) == (0, 1)


def test_entries_of_a_tenant_that_is_gone_or_of_nobody_do_not_stop_the_others(in_alice):
    call = make_call()
    put([message_entry("t_gone", str(call.pk), 1, "user", "x")])
    sync_client().xadd(STREAM, {"e": b"not ours"})
    put([message_entry(in_alice.schema_name, str(call.pk), 1, "user", "kept")])

    write_pending()

    assert [m.text for m in call.messages.all()] == ["kept"]
    assert sync_client().xlen(DEAD_STREAM) == 2


def test_history_joins_what_is_stored_with_what_is_on_its_way(in_alice):
    call = make_call()
    add_message(call, 1, "assistant", "Hello.")
    put(
        [message_entry(in_alice.schema_name, str(call.pk), 2, "user", "Hi."), message_entry("t_x", "0", 1, "user", "other")]
    )

    assert [(turn.role, turn.text) for turn in said_so_far(call)] == [("assistant", "Hello."), ("user", "Hi.")]
    assert len(pending_entries(str(call.pk))) == 1


# --- the journal of a call -------------------------------------------------------------------------------------------


def _raise(error):
    def fail(*args, **kwargs):
        raise error

    return fail


@pytest.fixture(autouse=True)
def closed_breaker():
    journal._breaker.closed_until = 0.0
    yield
    journal._breaker.closed_until = 0.0


async def keep(entries: list[Entry]) -> None:
    kept = Journal(entries[0].call_id)
    for entry in entries:
        kept.put(entry)
    await kept.close()


async def test_the_journal_makes_entries_durable_in_redis_in_order():
    entries = [message_entry("t_a", "c", n, "user", f"word {n}") for n in range(20)]

    await keep(entries)

    stored = [Entry.unsealed(fields[b"e"]) for _, fields in sync_client().xrange(STREAM)]
    assert stored == entries


class Away:
    async def xadd(self, *args, **kwargs):
        raise RedisConnectionError("away")


async def test_without_redis_the_journal_writes_to_the_database(monkeypatch):
    written: list[Entry] = []
    monkeypatch.setattr(journal, "async_client", Away)
    monkeypatch.setattr(journal, "_write_and_close", written.extend)
    entries = [message_entry("t_a", "c", n, "user", f"word {n}") for n in range(3)]

    await keep(entries)

    assert sorted({entry.sequence for entry in written}) == [0, 1, 2]


async def test_what_redis_took_just_before_it_went_is_written_again(monkeypatch):
    written: list[Entry] = []
    real = journal.async_client
    monkeypatch.setattr(journal, "_write_and_close", written.extend)
    kept = Journal("c")
    kept.put(message_entry("t_a", "c", 1, "user", "before"))
    await asyncio.sleep(0.1)
    monkeypatch.setattr(journal, "async_client", Away)
    kept.put(message_entry("t_a", "c", 2, "user", "after"))
    await kept.close()
    monkeypatch.setattr(journal, "async_client", real)

    assert [entry.sequence for entry in written] == [1, 2]


async def test_without_redis_and_database_the_journal_writes_to_a_file(monkeypatch):
    monkeypatch.setattr(journal, "async_client", Away)
    monkeypatch.setattr(journal, "_write_and_close", _raise(OperationalError("away")))

    await keep([message_entry("t_a", "c", 1, "user", WORDS)])

    replayed: list[Entry] = []
    assert spool.replay(replayed.extend) >= 1
    assert {entry.body["text"] for entry in replayed} == {WORDS}
    assert spool.replay(replayed.extend) == 0


def test_the_spool_is_sealed_private_and_kept_when_it_cannot_be_written(in_alice):
    spool.append([message_entry(in_alice.schema_name, "c", 1, "user", WORDS)])
    (path,) = spool.spool_dir().glob("*.spool")

    assert b"Mephisto" not in path.read_bytes()
    assert path.stat().st_mode & 0o077 == 0
    with pytest.raises(OperationalError):
        spool.replay(_raise(OperationalError("away")))
    assert spool.replay(lambda entries: None) == 1


def test_a_half_written_line_of_a_killed_process_is_left_out(in_alice):
    call = make_call()
    spool.append([message_entry(in_alice.schema_name, str(call.pk), 1, "user", "whole")])
    (path,) = spool.spool_dir().glob("*.spool")
    with path.open("ab") as out:
        out.write(b"gAAAA half a li")

    assert write_pending() == 1
    assert [m.text for m in call.messages.all()] == ["whole"]


# --- no store takes anything: a full disk ----------------------------------------------------------------------------


class FullDisk:
    """Redis refuses to write, PostgreSQL fails, and so does the file, until each is freed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.written: list[Entry] = []
        self.is_database_full = self.is_file_full = True
        sync_client().config_set("maxmemory", 1)  # it answers every write with an error
        self._write = os.write
        monkeypatch.setattr(journal, "_write_and_close", self._write_entries)
        monkeypatch.setattr(spool.os, "write", self._write_some)
        monkeypatch.setattr(journal, "FIRST_PAUSE_S", 0.01)
        monkeypatch.setattr(journal, "LONGEST_PAUSE_S", 0.02)
        monkeypatch.setattr(journal, "REDIS_REST_S", 0.01)

    def free_redis(self) -> None:
        sync_client().config_set("maxmemory", 0)

    def _write_entries(self, entries: list[Entry]) -> None:
        if self.is_database_full:
            raise OperationalError("could not extend file: No space left on device")
        self.written += entries

    def _write_some(self, descriptor: int, data: bytes) -> int:
        if not self.is_file_full:
            return self._write(descriptor, data)
        if len(data) > 100:
            return self._write(descriptor, data[:100])  # a full disk takes the beginning
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.fixture
def full_disk(monkeypatch):
    disk = FullDisk(monkeypatch)
    yield disk
    disk.free_redis()


@pytest.fixture
def lost():
    before = figures.losses.entries_lost
    return lambda: figures.losses.entries_lost - before


def sentences(call: Call, schema: str) -> list[Entry]:
    return [message_entry(schema, str(call.pk), n, "user", f"Sentence {n}.") for n in range(1, 9)]


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """Run in an event loop that ends with it."""

    async def and_close() -> Any:
        try:
            return await work
        finally:
            await close_async_client()

    return asyncio.run(and_close())


async def say(kept: Journal, entries: list[Entry]) -> None:
    for entry in entries:
        kept.put(entry)
        await asyncio.sleep(0.02)


def stored(call: Call) -> list[tuple[int, str]]:
    write_pending()
    return [(message.sequence, message.text) for message in call.messages.all()]


def test_words_said_while_the_disk_is_full_are_all_stored_once_it_is_not(in_alice, bob, full_disk, lost):
    call = make_call()
    entries = sentences(call, in_alice.schema_name)

    async def carry() -> int:
        kept = Journal(str(call.pk))
        await say(kept, entries[:6])
        waiting = figures.losses.entries_waiting
        full_disk.free_redis()
        await say(kept, entries[6:])
        await kept.close()
        return waiting

    assert run(carry()) == 6

    assert stored(call) == [(n, f"Sentence {n}.") for n in range(1, 9)]
    assert (lost(), figures.losses.entries_waiting) == (0, 0)
    with entered(bob):
        assert not CallMessage.objects.exists()


@pytest.mark.parametrize("store", ["database", "file"])
def test_words_wait_for_whichever_store_is_there_first(in_alice, full_disk, lost, store):
    call = make_call()
    entries = sentences(call, in_alice.schema_name)

    async def carry() -> None:
        kept = Journal(str(call.pk))
        await say(kept, entries)
        setattr(full_disk, f"is_{store}_full", False)
        await kept.close()

    run(carry())

    write_entries(full_disk.written)
    full_disk.free_redis()
    assert stored(call) == [(n, f"Sentence {n}.") for n in range(1, 9)]
    assert lost() == 0


def test_words_outlive_their_call_while_the_disk_is_full(in_alice, full_disk, lost, monkeypatch, caplog):
    monkeypatch.setattr(journal, "FLUSH_TIMEOUT_S", 0.05)
    call = make_call()

    async def carry() -> None:
        kept = Journal(str(call.pk))
        await say(kept, sentences(call, in_alice.schema_name))
        await kept.close()
        assert figures.losses.entries_waiting == 8
        full_disk.free_redis()
        async with asyncio.timeout(5):
            while figures.losses.entries_waiting:
                await asyncio.sleep(0.01)

    run(carry())

    assert "its words wait to be written" in caplog.text
    assert stored(call) == [(n, f"Sentence {n}.") for n in range(1, 9)]
    assert lost() == 0


@pytest.mark.parametrize("is_file_full", [False, True])
def test_the_end_of_the_process_is_the_last_try(in_alice, full_disk, lost, caplog, monkeypatch, is_file_full):
    monkeypatch.setattr(journal, "FLUSH_TIMEOUT_S", 0.05)
    monkeypatch.setattr(journal, "async_client", Away)
    call = make_call()

    async def carry() -> None:
        kept = Journal(str(call.pk))
        await say(kept, sentences(call, in_alice.schema_name))
        await kept.close()
        full_disk.is_file_full = is_file_full

    run(carry())  # and with it the loop ends, and whatever still runs in it

    assert lost() == (8 if is_file_full else 0)
    assert ("could not be written" in caplog.text) is is_file_full
    full_disk.free_redis()
    full_disk.is_file_full = False
    assert len(stored(call)) == (0 if is_file_full else 8)
    assert figures.losses.entries_waiting == 0


def test_a_file_that_takes_a_part_only_keeps_nothing_of_it(in_alice, full_disk):
    with pytest.raises(OSError, match="No space"):
        spool.append([message_entry(in_alice.schema_name, "c", 1, "user", WORDS)])
    (path,) = spool.spool_dir().glob("*.spool")

    assert path.stat().st_size == 0


async def test_what_no_store_can_ever_take_does_not_keep_the_rest_waiting(lost, caplog):
    entries = [event_entry("t_a", "c", n, EventKind.WARNING, {"code": object() if n == 1 else "X"}) for n in range(3)]

    await keep(entries)

    assert [Entry.unsealed(fields[b"e"]).sequence for _, fields in sync_client().xrange(STREAM)] == [0, 2]
    assert lost() == 1
    assert "cannot be written down" in caplog.text


async def test_an_entry_that_comes_after_the_end_is_counted(lost):
    kept = Journal("c")
    await kept.close()

    kept.put(message_entry("t_a", "c", 1, "user", "late"))

    assert lost() == 1


def test_a_standby_keeps_entries_where_they_are(in_alice, monkeypatch):
    call = make_call()
    put(entries_for(call, in_alice.schema_name))
    monkeypatch.setattr(store, "_write_share", _raise(InternalError("cannot execute INSERT in a read-only transaction")))

    with pytest.raises(InternalError):
        write_pending()

    assert (sync_client().xlen(STREAM), sync_client().xlen(DEAD_STREAM)) == (5, 0)


def test_synchronous_code_leaves_its_entries_in_a_file_when_nothing_else_takes_them(in_alice, full_disk, monkeypatch):
    full_disk.is_file_full = False
    call = make_call()
    with monkeypatch.context() as away:
        away.setattr(batch, "write_entries", _raise(OperationalError("away")))
        put(entries_for(call, in_alice.schema_name))
    full_disk.free_redis()

    assert [text for _, text in stored(call)] == [WORDS, "A fine name."]


def test_half_a_character_that_was_kept_before_is_stored_as_a_whole_one(in_alice):
    call = make_call()
    put(
        [
            message_entry(in_alice.schema_name, str(call.pk), 1, "user", "upset \ud83d"),
            event_entry(in_alice.schema_name, str(call.pk), 2, EventKind.TRANSFER, {"note": "\ud83d", "\x00": ["\udfff"]}),
        ]
    )

    write_pending()

    assert call.messages.get().text == "upset \ufffd"
    assert call.events.get().detail == {"note": "\ufffd", "": ["\ufffd"]}


def test_how_much_of_a_message_was_heard_is_stored_with_it(in_alice):
    call, schema = make_call(), in_alice.schema_name
    put(
        [message_entry(schema, str(call.pk), 1, "assistant", "We open at nine."), heard_entry(schema, str(call.pk), 1, 0.5)]
    )

    write_pending()

    message = call.messages.get()
    assert (message.heard_text, message.unheard_text) == ("We open", "at nine.")
