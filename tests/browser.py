"""A real Chromium for the browser tests: an installed one, else one from the system's packages, else Playwright's own.

`python -m tests.browser` makes sure that there is one, or ends with a sentence; the tests never skip.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# A closed network must not keep the browser busy with its own errands.
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
]


def installed() -> str | None:
    return next((found for name in NAMES if (found := shutil.which(name))), None)


def playwrights_own() -> str | None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
    return path if Path(path).exists() else None


def from_system_packages() -> str | None:
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        return None
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["apt-get", "update", "-qq"], ["apt-get", "install", "-y", "-qq", "chromium"]):
        subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=False)
    return installed()


def download_playwrights() -> str | None:
    subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"], stdout=subprocess.DEVNULL, check=False)
    return playwrights_own()


def find_browser() -> str | None:
    return installed() or playwrights_own()


def main() -> int:
    found = find_browser() or from_system_packages() or download_playwrights()
    if found is None:
        print(
            "No Chromium can be had for the browser tests: install one (apt-get install chromium) and try again.",
            file=sys.stderr,
        )
        return 1
    print(f"Browser tests use {found}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
