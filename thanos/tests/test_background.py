"""What is done again and again: tasks that there are, often enough, and none that piles up."""

from __future__ import annotations

from fnmatch import fnmatch

import pytest
from celery.schedules import crontab
from django.conf import settings

from thanos.celery import app


@pytest.fixture(scope="module", autouse=True)
def _tasks():
    app.loader.import_default_modules()


def test_every_scheduled_task_is_one_there_is():
    assert set(settings.CELERY_BEAT_SCHEDULE) <= set(app.tasks)


def test_every_sweep_there_is_is_scheduled():
    sweeps = {name for name in app.tasks if name.partition(".")[2].startswith("sweep")}

    assert sweeps - set(settings.CELERY_BEAT_SCHEDULE) == set()


def test_every_route_leads_some_task():
    unused = [pattern for pattern in settings.CELERY_TASK_ROUTES if not any(fnmatch(name, pattern) for name in app.tasks)]

    assert unused == []


def test_runs_that_nobody_takes_up_do_not_pile_up():
    for name, line in settings.CELERY_BEAT_SCHEDULE.items():
        every = line["schedule"]
        longest = 3600 if isinstance(every, crontab) else max(every, 30)
        assert 0 < line["options"]["expires"] <= longest, name
