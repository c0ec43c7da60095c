"""Somebody who looks at the pages of one organisation in a browser."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Browser, Page

from tests.installation import PASSWORD

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
