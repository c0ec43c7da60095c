"""A worker dies in the middle of an import: nothing is lost, and nothing is written twice."""

from __future__ import annotations

import os
import signal

import pytest
import requests

from tests.installation import Installation, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("pages")]

ROWS = 12_000


def test_kill_of_the_worker_in_the_middle_of_an_import(house: Installation):
    rows = [f"Kill {n},k{n}@example.org,+1557{n:07d}" for n in range(ROWS)]
    record = upload(house, "\n".join(["Name,E-mail,Phone", *rows]))
    path = f"/imports/{record['id']}/"
    wait_for(lambda: house.api("GET", "two.test", path)["state"] == "ready", 180, "the file to be checked")
    house.api("POST", "two.test", f"{path}start/", json={})
    wait_for(lambda: (house.api("GET", "two.test", path)["progress"] or 0) > 0.2, 120, "some rows to be written")

    os.kill(house.pid_of("bulk,webhooks"), signal.SIGKILL)

    assert house.api("GET", "two.test", path)["state"] == "running"
    wait_for(lambda: house.api("GET", "two.test", path)["state"] == "done", 150, "the import to end")
    done = house.api("GET", "two.test", path)
    assert done["counts"]["created"] == ROWS and done["counts"]["bad"] == 0
    for number in (0, ROWS // 2, ROWS - 1):
        found = house.api("GET", "two.test", f"/contacts/?q=k{number}@example.org")
        assert [contact["contact_name"] for contact in found["results"]] == [f"Kill {number}"]
    house.api("POST", "two.test", f"{path}undo/")
    wait_for(lambda: house.api("GET", "two.test", path)["state"] == "undone", 90, "the import to be undone")
    assert house.api("GET", "two.test", path)["undone"] == ROWS
    assert house.api("GET", "two.test", f"/contacts/?import={record['id']}")["count"] == 0
    assert house.api("GET", "one.test", "/contacts/?q=kill")["count"] == 0


def upload(house: Installation, text: str) -> dict[str, str]:
    house.api("GET", "two.test", "/contacts/")  # signs in
    headers = {"Host": "two.test", "Authorization": f"Bearer {house.tokens['two.test']}"}
    files = {"file": ("big.csv", text.encode(), "text/csv")}
    answer = requests.post(f"{house.url}/api/v1/imports/", files=files, headers=headers, timeout=30)
    assert answer.status_code == 201, answer.text
    return answer.json()  # type: ignore[no-any-return]
