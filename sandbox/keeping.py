"""What the stand-ins remember from one start to the next: Stripe's accounts, and the outbox.

Without it a restart of `make run` would leave the product with customers, domains and messages that nobody has. One file
of JSON, replaced as a whole; written when something has changed, every few seconds and at the end.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import os
from pathlib import Path
from typing import Any

from sandbox.sendgrid.account import MailAccount
from sandbox.sendgrid.domains import AuthenticatedDomain, Record
from sandbox.sendgrid.letters import Copy, Posting
from sandbox.stripe.account import Account
from sandbox.stripe.api import Bank

EVERY_S = 3.0
MOST_MESSAGES = 1_000
MOST_BYTES = 8_000_000  # of compressed messages
_ACCOUNT = ("id", "name", "skew_s", "objects", "meter_events", "events", "answers")


class Keeper:
    def __init__(self, path: Path, *, bank: Bank, mail: MailAccount) -> None:
        self.path, self.bank, self.mail = path, bank, mail
        self._written = self._revision()

    def load(self) -> None:
        """Bring back what the file holds; a file that cannot be read is left aside, and everything begins empty."""
        try:
            kept = json.loads(self.path.read_text())
        except (OSError, ValueError):
            return
        for one in kept["accounts"]:
            account = self.bank.accounts.get(one["key"]) or self.bank.open(
                one["key"], one["secret"], url=one["url"], name=one["name"]
            )
            for name in _ACCOUNT:
                setattr(account, name, one[name])
            account.answers = {key: (asked, answer) for key, (asked, answer) in one["answers"].items()}
        for one in kept["postings"]:
            self.mail.restore(_posting(one))
        self.mail.suppressed |= kept["suppressed"]
        self.mail.domains.restore([_domain(one) for one in kept["domains"]])
        self._written = self._revision()

    async def run(self) -> None:
        while True:
            await asyncio.sleep(EVERY_S)
            self.save()

    def save(self) -> None:
        """Write the file if anything has changed since it was written."""
        revision = self._revision()
        if revision == self._written:
            return
        kept = {
            "accounts": [_account(account) for account in self.bank.accounts.values()],
            "postings": [_kept(posting) for posting in self._newest()],
            "suppressed": self.mail.suppressed,
            "domains": [_of_domain(domain) for domain in self.mail.domains.all.values()],
        }
        new = self.path.with_suffix(".new")
        new.touch(mode=0o600)
        new.write_text(json.dumps(kept))
        os.replace(new, self.path)
        self._written = revision

    def _newest(self) -> list[Posting]:
        chosen: list[Posting] = []
        count = size = 0
        for posting in reversed(self.mail.postings):
            count, size = count + len(posting.copies), size + len(posting.packed)
            if chosen and (count > MOST_MESSAGES or size > MOST_BYTES):
                break
            chosen.append(posting)
        return chosen[::-1]

    def _revision(self) -> tuple[Any, ...]:
        """Return what differs whenever something has changed, and costs nothing to make."""
        accounts = [
            (account.id, len(account.events), len(account.answers), len(account.meter_events), account.skew_s)
            for account in self.bank.accounts.values()
        ]
        events = sum(len(copy.events) for copy in itertools.islice(reversed(self.mail.copies), MOST_MESSAGES))
        domains = [
            (domain.id, domain.valid, [record.in_dns for record in domain.records.values()])
            for domain in self.mail.domains.all.values()
        ]
        return (accounts, self.mail.accepted, len(self.mail.postings), events, dict(self.mail.suppressed), domains)


def _account(account: Account) -> dict[str, Any]:
    kept = {name: getattr(account, name) for name in _ACCOUNT}
    told = {"key": account.key, "secret": account.hooks.secret, "url": account.hooks.url}
    return {**kept, **told}


def _kept(posting: Posting) -> dict[str, Any]:
    copies = [[copy.number, copy.address, copy.personalization, copy.events] for copy in posting.copies]
    return {"id": posting.id, "at": posting.at, "packed": base64.b64encode(posting.packed).decode(), "copies": copies}


def _posting(kept: dict[str, Any]) -> Posting:
    posting = Posting(kept["id"], kept["at"], base64.b64decode(kept["packed"]))
    for number, address, personalization, events in kept["copies"]:
        posting.copies.append(Copy(posting, number, address, personalization, [tuple(event) for event in events]))
    return posting


def _of_domain(domain: AuthenticatedDomain) -> dict[str, Any]:
    names = ("id", "domain", "subdomain", "automatic_security", "custom_spf", "default", "valid")
    records = {key: [one.type, one.host, one.data, one.in_dns, one.valid] for key, one in domain.records.items()}
    return {**{name: getattr(domain, name) for name in names}, "records": records}


def _domain(kept: dict[str, Any]) -> AuthenticatedDomain:
    records = {key: Record(*values) for key, values in kept["records"].items()}
    return AuthenticatedDomain(**{**kept, "records": records})
