"""Somebody who looks at the pages of one organisation in a browser."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Browser, Page

from tests.installation import PASSWORD

# How pages are looked at: on a desk by day, and on a telephone at night.
LOOKS = (("light", 1280), ("dark", 380))
DOMAIN = "one.localhost"  # browsers find *.localhost without a name server


class Visitor:
    def __init__(self, browser: Browser, site: str, **options: Any) -> None:
        self.context = browser.new_context(base_url=site, **options)
        self.page: Page = self.context.new_page()
        self.faults: list[str] = []
        self.page.on("console", lambda message: self._console(message.type, message.text))
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.goto("/accounts/login/")
        self.page.fill("#id_login", f"owner@{DOMAIN}")
        self.page.fill("#id_password", PASSWORD)
        self.page.click("main button[type=submit]")
        self.page.wait_for_url("**/")

    def _console(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.faults.append(text)

    def widths(self) -> list[tuple[int, int]]:
        """Return how wide the page is that is open, beside how wide it may be, for each way of looking at it."""
        found = []
        for scheme, width in LOOKS:
            self.page.set_viewport_size({"width": width, "height": 800})
            self.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            found.append((self.page.evaluate("document.documentElement.scrollWidth"), width))
        return found

    def see(self, path: str) -> None:
        """Open a page and check that it answers, has one heading, and fits wherever it is looked at."""
        answer = self.page.goto(path)
        assert answer is not None and answer.status == 200, path
        assert self.page.locator("h1").count() == 1, path
        for is_wide, may_be in self.widths():
            assert is_wide <= may_be, (path, may_be)
