"""Durable words: Redis, then PostgreSQL, then a file; nothing twice, nothing lost."""

from __future__ import annotations

import asyncio

import pytest
from django.db import OperationalError
from redis.exceptions import ConnectionError as RedisConnectionError

from telephony.enums import EventKind
from telephony.models import Call, CallEvent, CallMessage
from telephony.tests.factories import add_message, make_call
from telephony.transcripts import batch, journal, spool
from telephony.transcripts.batch import pending_entries, put, write_pending
from telephony.transcripts.entries import DEAD_STREAM, STREAM, Entry, event_entry, latency_entry, message_entry
from telephony.transcripts.history import said_so_far
from telephony.transcripts.journal import Journal
from telephony.transcripts.store import write_entries
from tenants.context import entered
from thanos.redis import sync_client

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
