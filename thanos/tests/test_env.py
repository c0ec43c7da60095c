import os
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from thanos.env import BASE_DIR, Environment, generate_secrets

KEY = Fernet.generate_key().decode()
GOOD = {"secret_key": "x" * 40, "field_encryption_keys": KEY}


def make(**values):
    return Environment(_env_file=None, **{**GOOD, **values})


def test_lists_are_separated_by_commas():
    other = Fernet.generate_key().decode()

    env = make(
        field_encryption_keys=f"{KEY}, {other}", allowed_hosts="a.test,b.test", sendgrid_webhook_public_key="MFkw=, MFkx="
    )

    assert env.field_encryption_keys == [KEY, other]
    assert env.allowed_hosts == ["a.test", "b.test"]
    assert env.sendgrid_webhook_public_key == ["MFkw=", "MFkx="]


@pytest.mark.parametrize(
    ("base", "public", "media"),
    [
        ("", "http://127.0.0.1:8000", "ws://127.0.0.1:8000"),
        ("https://calls.example/", "https://calls.example", "wss://calls.example"),
        ("http://10.0.0.1:81", "http://10.0.0.1:81", "ws://10.0.0.1:81"),
    ],
)
def test_the_public_addresses(base, public, media):
    env = make(public_base_url=base)

    assert (env.public_url, env.media_url) == (public, media)


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"secret_key": "short"}, "secret_key"),
        ({"field_encryption_keys": "nonsense"}, "field_encryption_keys"),
        ({"field_encryption_keys": ""}, "field_encryption_keys"),
        ({"port": "eighty"}, "port"),
        ({"port": 0}, "port"),
        ({"voice_agent_rollout_percentage": 101}, "voice_agent_rollout_percentage"),
        ({"debug": "perhaps"}, "debug"),
    ],
)
def test_faulty_values_are_refused(values, name):
    with pytest.raises(ValueError, match=name):
        make(**values)


def test_a_faulty_environment_ends_the_start_with_every_fault_named(tmp_path):
    environment = {**os.environ, "STATE_DIR": str(tmp_path), "PORT": "eighty", "DEBUG": "perhaps"}
    code = "import thanos.settings.dev"

    done = subprocess.run([sys.executable, "-c", code], cwd=BASE_DIR, env=environment, capture_output=True, text=True)

    assert done.returncode != 0
    assert "PORT:" in done.stderr
    assert "DEBUG:" in done.stderr
    assert "Traceback" not in done.stderr


def test_secrets_are_generated_once_and_private(tmp_path):
    path = generate_secrets(tmp_path / "state")
    first = path.read_text()

    assert generate_secrets(tmp_path / "state").read_text() == first
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_the_example_names_every_variable():
    example = (Path(BASE_DIR) / ".env.example").read_text()

    missing = [name.upper() for name in Environment.model_fields if name.upper() not in example]
    assert missing == ["SANDBOXED_PROVIDERS", "SANDBOX_URL"]  # set by `serve`, not by people
