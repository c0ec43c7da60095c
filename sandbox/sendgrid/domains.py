"""Domain authentication: records that turn valid on command, as DNS would let them."""

from __future__ import annotations

import itertools
import re
import secrets
from dataclasses import dataclass, field
from typing import Any

ACCOUNT = 66036447
_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63})+", re.I)


class DomainRefused(Exception):
    """The vendor's complaint about a domain: (message, field)."""

    def __init__(self, message: str, field: str = "domain") -> None:
        super().__init__(message)
        self.field = field


@dataclass(slots=True)
class Record:
    type: str
    host: str
    data: str
    in_dns: bool = False  # what a look-up would find now
    valid: bool = False  # what the last validation found


@dataclass(slots=True)
class AuthenticatedDomain:
    id: int
    domain: str
    subdomain: str
    automatic_security: bool = True
    custom_spf: bool = False
    default: bool = False
    valid: bool = False
    records: dict[str, Record] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "user_id": ACCOUNT,
            "subdomain": self.subdomain,
            "domain": self.domain,
            "username": "sandbox",
            "ips": [],
            "custom_spf": self.custom_spf,
            "default": self.default,
            "legacy": False,
            "automatic_security": self.automatic_security,
            "valid": self.valid,
            "dns": {
                key: {"valid": record.valid, "type": record.type, "host": record.host, "data": record.data}
                for key, record in self.records.items()
            },
        }

    def validate(self) -> dict[str, Any]:
        """Look the records up and answer as the vendor does: 200 either way, decided by `valid`."""
        for record in self.records.values():
            record.valid = record.in_dns
        self.valid = all(record.valid for record in self.records.values())
        results = {
            key: {"valid": record.valid, "reason": None if record.valid else _reason(record)}
            for key, record in self.records.items()
        }
        return {"id": self.id, "valid": self.valid, "validation_results": results}


def _reason(record: Record) -> str:
    kind = record.type.upper()
    return f'Expected {kind} for "{record.host}" to match "{record.data}".'


class Domains:
    """`prepared` are records published before the domain was entered here."""

    def __init__(self) -> None:
        self.all: dict[int, AuthenticatedDomain] = {}
        self._ids = itertools.count(45_373_692)
        self._prepared: dict[str, bool | list[str]] = {}

    def add(self, body: Any) -> AuthenticatedDomain:
        """Register what `POST /v3/whitelabel/domains` names. Raises DomainRefused."""
        name = body.get("domain") if isinstance(body, dict) else None
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise DomainRefused("The domain must be a valid domain name.")
        name = name.lower()
        if self.by_name(name) is not None:
            raise DomainRefused("An authenticated domain already exists for this URL.")
        number = next(self._ids)
        subdomain = str(body.get("subdomain") or f"em{secrets.randbelow(9000) + 1000}")
        made = AuthenticatedDomain(number, name, subdomain, default=bool(body.get("default")))
        made.automatic_security = bool(body.get("automatic_security", True))
        made.custom_spf = bool(body.get("custom_spf"))
        selector = str(body.get("custom_dkim_selector") or "s")
        made.records = _cnames(made, selector) if made.automatic_security else _texts(made, selector)
        self.all[number] = made
        self.publish(name, self._prepared.pop(name, False))
        return made

    def restore(self, domains: list[AuthenticatedDomain]) -> None:
        """Bring back domains of an earlier start."""
        self.all = {domain.id: domain for domain in domains}
        self._ids = itertools.count(max([45_373_691, *self.all]) + 1)

    def by_name(self, name: str) -> AuthenticatedDomain | None:
        return next((domain for domain in self.all.values() if domain.domain == name.lower()), None)

    def is_authenticated(self, name: str) -> bool:
        found = self.by_name(name)
        return found is not None and found.valid

    def publish(self, name: str, valid: bool | list[str]) -> AuthenticatedDomain | None:
        """Let a look-up find all records of a domain, none, or those named; the next validation notices."""
        found = self.by_name(name)
        if found is None:
            self._prepared[name.lower()] = valid
            return None
        for key, record in found.records.items():
            record.in_dns = valid if isinstance(valid, bool) else key in valid
        return found


def _cnames(made: AuthenticatedDomain, selector: str) -> dict[str, Record]:
    zone = f"u{ACCOUNT}.wl.sendgrid.net"
    keys = {
        f"dkim{number}": Record(
            "cname",
            f"{selector}{number}._domainkey.{made.domain}",
            f"{selector}{number}.domainkey.{zone}",
        )
        for number in (1, 2)
    }
    return {"mail_cname": Record("cname", f"{made.subdomain}.{made.domain}", zone), **keys}


def _texts(made: AuthenticatedDomain, selector: str) -> dict[str, Record]:
    host = f"{made.subdomain}.{made.domain}"
    key = f"k=rsa; t=s; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKB{made.id}"
    return {
        "mail_server": Record("mx", host, "mx.sendgrid.net"),
        "subdomain_spf": Record("txt", host, "v=spf1 include:sendgrid.net ~all"),
        "domain_spf": Record("txt", made.domain, f"v=spf1 include:{host} -all"),
        "dkim": Record("txt", f"{selector}1._domainkey.{made.domain}", key),
    }
