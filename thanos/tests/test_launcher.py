from __future__ import annotations

import pytest

from thanos.launcher import WORKERS, listen_as_before, workers_of


@pytest.mark.parametrize(
    ("processes", "names"), [(3, ["worker", "bulk", "agents"]), (2, ["worker", "bulk"]), (1, ["worker"])]
)
def test_every_queue_is_served_by_however_many_processes(processes, names):
    found = workers_of(processes)

    assert [worker.name for worker in found] == names
    assert [queue for worker in found for queue in worker.queues] == [queue for one in WORKERS for queue in one.queues]
    assert sum(worker.threads for worker in found) == sum(one.threads for one in WORKERS)


def test_every_task_has_a_queue_that_is_served():
    from django.conf import settings

    served = {queue for worker in WORKERS for queue in worker.queues}
    routed = {route["queue"] for route in settings.CELERY_TASK_ROUTES.values()}

    assert routed | {settings.CELERY_TASK_DEFAULT_QUEUE} <= served


def test_the_outbox_has_the_address_it_had(tmp_path):
    kept = tmp_path / "sandbox.port"
    with listen_as_before(kept) as first:
        port = first.getsockname()[1]
        with listen_as_before(kept) as other:  # somebody else has the port: another one, which is kept from now on
            assert other.getsockname()[1] != port
            port = other.getsockname()[1]
    with listen_as_before(kept) as again:
        assert again.getsockname()[1] == port


@pytest.mark.parametrize("text", ["", "soon", "70000", "-1", "0"])
def test_a_port_that_is_none_is_replaced(tmp_path, text):
    kept = tmp_path / "sandbox.port"
    kept.write_text(text)
    with listen_as_before(kept) as sock:
        assert int(kept.read_text()) == sock.getsockname()[1]


def test_a_damaged_file_is_replaced(tmp_path):
    kept = tmp_path / "sandbox.port"
    kept.write_bytes(b"\xff\xfe")
    with listen_as_before(kept) as sock:
        assert int(kept.read_text()) == sock.getsockname()[1]
