"""What connects this room with the rest: configuration, the beat's schedule, the API's description."""

from __future__ import annotations

import subprocess
import sys

import pytest
from django.conf import settings

from crm.hooks import tasks
from thanos.env import Environment


def networks(monkeypatch, value):
    monkeypatch.setenv("WEBHOOK_ALLOWED_NETWORKS", value)
    return Environment().webhook_allowed_networks


@pytest.fixture(autouse=True)
def _enough_to_start(monkeypatch):
    monkeypatch.setenv("SECRET_KEY", settings.SECRET_KEY)
    monkeypatch.setenv("FIELD_ENCRYPTION_KEYS", ",".join(settings.ENV.field_encryption_keys))


@pytest.mark.parametrize(
    ("value", "expected"),
    [("", []), ("10.1.0.0/16", ["10.1.0.0/16"]), ("10.1.0.0/16, fd00::/8,", ["10.1.0.0/16", "fd00::/8"])],
)
def test_networks_are_read_from_the_environment(monkeypatch, value, expected):
    assert networks(monkeypatch, value) == expected


@pytest.mark.parametrize("value", ["10.1.0.1/16", "everywhere", "10.0.0.0/40"])
def test_a_network_that_is_none_fails_loudly(monkeypatch, value):
    with pytest.raises(ValueError, match="webhook_allowed_networks"):
        networks(monkeypatch, value)


def test_the_sweeps_run_often_enough():
    beat = settings.CELERY_BEAT_SCHEDULE

    assert beat[tasks.sweep_due.name]["schedule"] == 20.0
    assert tasks.sweep_expired.name in beat


@pytest.mark.urls("crm.hooks.tests.urls")
def test_the_description_of_the_api_has_no_gaps():
    from drf_spectacular.drainage import GENERATOR_STATS
    from drf_spectacular.generators import SchemaGenerator

    with GENERATOR_STATS.silence():
        schema = SchemaGenerator(urlconf="crm.hooks.tests.urls").get_schema(public=True)

    made = schema["paths"]["/api/v1/webhooks/"]["post"]["responses"]["201"]["content"]["application/json"]["schema"]
    assert made == {"$ref": "#/components/schemas/NewWebhookEndpoint"}
    ours = {path for path in schema["paths"] if "/webhooks/" in path}
    actions = ("", "deliveries/", "pause/", "resume/", "roll-secret/", "test/")
    assert ours == {"/api/v1/webhooks/", *(f"/api/v1/webhooks/{{id}}/{name}" for name in actions)}


def test_verification_needs_nothing_of_ours():
    from crm.hooks.signing import VERIFICATION_SNIPPET

    code = f"{VERIFICATION_SNIPPET}\nassert not verify('key', 't=1,v1=00', b'')"
    done = subprocess.run([sys.executable, "-I", "-c", code], cwd="/", env={}, capture_output=True, text=True)

    assert (done.returncode, done.stderr) == (0, "")
