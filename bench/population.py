"""A tenant's contacts and everything that happened with them, as many as wanted, written by COPY.

The shape is that of a business grown over three years: few cities are common and most are rare, most contacts have
few interactions and one has very many, sources come and go, some tags go with a status. Encrypted values are taken
from a small pool, since sealing each would take longer than everything else; their blind indexes are each their own.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import accumulate
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from crm.models import CustomField
    from tenants.models import Tenant, User

CHUNK = 50_000  # contacts a COPY
DAYS = 1095
CITIES, WORDS, NOTES, SEALED = 2_000, 3_000, 20_000, 500
RARE_WORD = "quetzalcoatl"
RARE_EVERY = 50_000  # contacts from one with the rare word to the next
BUSIEST = 1  # the contact with very many interactions; the next one has few
TAGS = ["newsletter", "vip", "partner", "press", "reseller", "trade fair", "wholesale", "beta"]
TAGS += [f"campaign {number}" for number in range(1, 33)]
SOURCES = ["website", "referral", "phone call", "import", "trade fair", "advert", "partner", "walk-in"]
OLD_SOURCE = "old system"  # of the first contacts only
STATUSES = {"lead": 45, "prospect": 20, "qualified": 10, "customer": 15, "closed_won": 4, "closed_lost": 6}
KINDS = {"phone_call": 38, "email": 30, "sms": 6, "meeting": 5, "note": 11, "task": 7, "follow_up": 3}
INDUSTRIES = ["Retail", "Construction", "Health", "Legal", "Hospitality", "Software", "Logistics", "Education"]
INDUSTRIES += ["Farming", "Energy", "Mining", "Fishing"]
INTERESTS = ["Repairs", "New build", "Maintenance", "Advice", "Training", "Rental", "Parts", "Insurance"]
FIELDS: list[tuple[str, str, list[str]]] = [
    ("branch_code", "text", []),
    ("background", "long_text", []),
    ("employees", "number", []),
    ("contract", "money", []),
    ("renewal_on", "date", []),
    ("last_visit", "date_time", []),
    ("billing_email", "email", []),
    ("assistant_phone", "phone", []),
    ("shop", "url", []),
    ("industry", "select", INDUSTRIES),
    ("interests", "multi_select", INTERESTS),
    ("newsletter", "boolean", []),
]
_CONTACT = (
    "id business_name contact_name contact_email email_index contact_role phones phone_indexes website address city "
    "state postal_code country status value notes owner_id source tags custom_fields stripe_customer_id do_not_call_at "
    "do_not_call_source do_not_mail_at do_not_mail_source score score_reasons scored_at last_interaction_at "
    "open_task_count import_id created_at updated_at version deleted_at"
)
_INTERACTION = (
    "contact_id kind subject content interaction_date user_id metadata due_on done_at remind_at created_at updated_at"
)
_TOUCHES = frozenset({"phone_call", "email", "sms", "meeting"})


@dataclass(frozen=True, slots=True)
class Populated:
    contacts: int
    interactions: int
    copy_s: float
    index_s: float


def populate(*, tenant: Tenant, people: list[User], count: int, seed: int = 7) -> Populated:
    """Fill an empty tenant with `count` contacts. Indexes are taken away meanwhile and made again, as they were."""
    from django.db import connection

    from crm import tallies
    from tenants.context import entered

    with entered(tenant), connection.cursor() as cursor:
        begun = time.perf_counter()
        fields = _make_fields()
        _make_tags()
        maker = Maker(random.Random(seed), count, [person.pk for person in people])
        cursor.execute("SET maintenance_work_mem = '512MB'; SET synchronous_commit = off")
        statements = _drop_indexes(cursor)
        written = 0
        for contacts, interactions in maker.chunks():
            _copy(cursor, "crm_contact", _CONTACT, contacts)
            _copy(cursor, "crm_interaction", _INTERACTION, interactions)
            written += len(interactions)
        cursor.execute("SELECT setval(pg_get_serial_sequence('crm_contact', 'id'), %s)", [count])
        copied = time.perf_counter()
        for statement in statements:
            cursor.execute(statement)
        _index(fields)
        tallies.compact()
        for table in ("crm_contact", "crm_interaction", "crm_tally"):
            cursor.execute(f"VACUUM (ANALYZE) {table}")
        cursor.execute("RESET maintenance_work_mem; RESET synchronous_commit")
        return Populated(count, written, copied - begun, time.perf_counter() - copied)


def _make_fields() -> list[CustomField]:
    from crm.models import CustomField

    return [
        CustomField.objects.create(
            key=key, label=key.replace("_", " ").capitalize(), type=kind, options=options, position=position
        )
        for position, (key, kind, options) in enumerate(FIELDS)
    ]


def _make_tags() -> None:
    from crm.models import Tag

    Tag.objects.bulk_create(Tag(name=name) for name in TAGS)


def _index(fields: Iterable[CustomField]) -> None:
    from crm.services.fields import index_field

    for field in fields:
        index_field(field=field)


def _drop_indexes(cursor: Any) -> list[str]:
    """Take away what makes writing slow, and return the statements that make it again."""
    cursor.execute(
        """
        SELECT format('ALTER TABLE %I DROP CONSTRAINT %I', conrelid::regclass, conname),
               format('ALTER TABLE %I ADD CONSTRAINT %I %s', conrelid::regclass, conname, pg_get_constraintdef(oid))
        FROM pg_constraint WHERE contype = 'f' AND conrelid = 'crm_interaction'::regclass
        UNION ALL
        SELECT format('DROP INDEX %I', indexrelid::regclass), pg_get_indexdef(indexrelid) FROM pg_index
        WHERE indrelid IN ('crm_contact'::regclass, 'crm_interaction'::regclass) AND NOT indisunique
        """
    )
    found = cursor.fetchall()
    for drop, _ in found:
        cursor.execute(drop)
    return [make for _, make in reversed(found)]


def _copy(cursor: Any, table: str, columns: str, rows: list[str]) -> None:
    with cursor.copy(f"COPY {table} ({columns.replace(' ', ', ')}) FROM STDIN") as copy:
        for begin in range(0, len(rows), 2_000):
            copy.write("".join(rows[begin : begin + 2_000]))


class Maker:
    """Rows in the text form of COPY: tabs between columns, \\N for nothing."""

    def __init__(self, chance: random.Random, count: int, people: list[int], today: date | None = None) -> None:
        self.chance, self.count, self.people = chance, count, people
        self.today = today or datetime.now(UTC).date()
        self.first = self.today - timedelta(days=DAYS)
        self.days = [str(self.first + timedelta(days=number)) for number in range(DAYS + 120)]
        # Business hours: the quarter-hour totals behind the dashboard are then as many as a real tenant's.
        self.times = [
            f"{chance.randint(8, 18):02}:{chance.randint(0, 59):02}:{chance.random() * 60:09.6f}+00" for _ in range(5_000)
        ]
        self._make_words()
        self._make_pools()

    def _make_words(self) -> None:
        chance = self.chance
        self.given = [*_words(chance, 300, 2), "Maria", "Mark", "Martin", "Marta"]
        self.family = _words(chance, 5_000, 3)
        self.cities = _words(chance, CITIES, 3)
        self.city_weights = list(accumulate(1 / (rank + 10) for rank in range(CITIES)))
        self.states = _words(chance, 50, 2)
        words = [word.lower() for word in _words(chance, WORDS, 2)]
        weights = list(accumulate(1 / (rank + 1) for rank in range(WORDS)))
        self.words = words
        self.notes = [" ".join(chance.choices(words, cum_weights=weights, k=chance.randint(6, 16))) for _ in range(NOTES)]

    def _make_pools(self) -> None:
        from thanos.encryption import encrypt

        chance = self.chance

        def sealed(text: str) -> str:
            return encrypt(text.encode()).decode()

        self.emails = [sealed(f"somebody{number}@example.com") for number in range(SEALED)]
        self.phones = [sealed(json.dumps([{"label": "mobile", "number": f"+1555{number:07}"}])) for number in range(SEALED)]
        self.no_phones = sealed("[]")
        self.addresses = [sealed(f"{number} {chance.choice(self.family)} Street") for number in range(SEALED)]
        self.contents = [sealed(chance.choice(self.notes)) for _ in range(SEALED)]
        self.subjects = [chance.choice(self.notes)[:60].capitalize() for _ in range(200)]
        reasons = [
            [5, "has an e-mail address"],
            [5, "has a telephone number"],
            [20, "qualified"],
            [-10, "nothing for 90 days"],
        ]
        self.reasons = [json.dumps(chance.sample(reasons, chance.randint(0, 4))) for _ in range(50)]
        self.custom = [self._custom() for _ in range(200_000 if self.count > 50_000 else 5_000)]

    def _custom(self) -> str:
        """Custom fields drawn independently, so that every pair of values occurs together somewhere."""
        chance = self.chance
        day = chance.choice(self.days)
        values: dict[str, Any] = {
            "branch_code": f"B-{int(chance.paretovariate(0.6)) % 5000:04}",
            "background": chance.choice(self.notes),
            "employees": int(chance.lognormvariate(3, 1.5)),
            "contract": f"{chance.lognormvariate(8, 1):.2f}",
            "renewal_on": day,
            "last_visit": f"{chance.choice(self.days)}T{chance.randint(8, 18):02}:00:00+00:00",
            "billing_email": f"billing{chance.randint(1, 100_000)}@example.com",
            "assistant_phone": f"+1555{chance.randint(0, 9_999_999):07}",
            "shop": f"https://{chance.choice(self.family).lower()}.example.com",
            "industry": chance.choices(INDUSTRIES, range(len(INDUSTRIES), 0, -1))[0],
            "interests": [option for option in INTERESTS if chance.random() < 0.25] or [INTERESTS[0]],
            "newsletter": chance.random() < 0.3,
        }
        kept = {key: value for key, value in values.items() if chance.random() < 0.6}
        return json.dumps(kept)

    def chunks(self) -> Iterator[tuple[list[str], list[str]]]:
        for begin in range(1, self.count + 1, CHUNK):
            interactions: list[str] = []
            contacts = [self._contact(number, interactions) for number in range(begin, min(begin + CHUNK, self.count + 1))]
            yield contacts, interactions

    def _contact(self, number: int, interactions: list[str]) -> str:
        from thanos.encryption import blind_index

        draw = self.chance.random
        choose = self.chance.choice
        age = number / self.count
        made = int(DAYS * age**0.6) - 1  # more of them every year
        made = max(made, 0)
        created = f"{self.days[made]} {choose(self.times)}"
        [status] = self.chance.choices(list(STATUSES), list(STATUSES.values()))
        rank = self._city()
        owner = None if draw() < 0.3 else self.people[int(len(self.people) * draw() ** 2)]
        touched, todo = self._interactions(number, made, owner, interactions)
        surname = choose(self.family)
        has_email, has_phone, is_person = draw() < 0.8, draw() < 0.85, draw() < 0.85
        notes = choose(self.notes) if draw() < 0.4 else ""
        if number % RARE_EVERY == RARE_EVERY // 2 or (number == 2 and self.count < RARE_EVERY):
            notes += f" {RARE_WORD}"
        stopped = f"{self.days[min(made + 30, DAYS - 1)]} 12:00:00+00" if draw() < 0.02 else r"\N"
        source = OLD_SOURCE if age < 0.04 else choose(SOURCES) if draw() < 0.9 else ""
        points = int(self.chance.gauss(12, 12))
        updated = touched if touched != r"\N" and draw() < 0.7 else created
        return "\t".join((
            str(number),
            f"{surname} {choose(('Ltd', 'Brothers', 'Works', 'Group'))}" if draw() < 0.6 or not is_person else "",
            f"{choose(self.given)} {choose(self.family)}" if is_person else "",
            choose(self.emails) if has_email else "",
            blind_index(email_of(number)) if has_email else "",
            "Manager" if draw() < 0.2 else "",
            choose(self.phones) if has_phone else self.no_phones,
            f"{{{blind_index(phone_of(number))}}}" if has_phone else "{}",
            f"https://{surname.lower()}.example.com" if draw() < 0.4 else "",
            choose(self.addresses) if draw() < 0.5 else "",
            self.cities[rank] if rank >= 0 else "",
            self.states[rank % 50] if rank >= 0 else "",
            str(10_000 + rank) if rank >= 0 else "",
            "United States",
            status,
            f"{draw() * 20_000:.2f}" if draw() < 0.4 else r"\N",
            notes,
            str(owner or r"\N"),
            source,
            self._tags(status, number),
            choose(self.custom),
            "",
            stopped,
            "person" if stopped != r"\N" else "",
            r"\N",
            "",
            str(points),
            choose(self.reasons),
            created,
            touched,
            str(todo),
            "1" if age < 0.3 else r"\N",
            created,
            updated,
            "1",
            created if draw() < 0.005 and number > 100 else r"\N",
        )) + "\n"  # fmt: skip

    def _city(self) -> int:
        if self.chance.random() < 0.1:
            return -1
        return int(self.chance.choices(range(CITIES), cum_weights=self.city_weights)[0])

    def _tags(self, status: str, number: int) -> str:
        """Every fourth customer is a VIP, and hardly anybody else; a partner is never lost, but for one in many."""
        tags = []
        if (status == "customer" and self.chance.random() < 0.25) or number % 100_000 == 99:
            tags.append("vip")
        if status != "closed_lost" and self.chance.random() < 0.05:
            tags.append("partner")
        while self.chance.random() < 0.35:
            tags.append(TAGS[3 + int((len(TAGS) - 3) * self.chance.random() ** 2)])
        return "{" + ",".join(f'"{tag}"' for tag in dict.fromkeys(tags)) + "}"

    def _interactions(self, number: int, made: int, owner: int | None, rows: list[str]) -> tuple[str, int]:
        """Append a contact's interactions; return when they were last in touch, and how much is to be done."""
        chance = self.chance
        wanted = min(10_000, self.count) if number == BUSIEST else 5 if number == BUSIEST + 1 else self._how_many()
        last, todo = "", 0
        user = str(owner or r"\N")
        kinds = chance.choices(list(KINDS), list(KINDS.values()), k=wanted)
        for kind in kinds:
            at = f"{self.days[made + int((DAYS - made) * chance.random())]} {chance.choice(self.times)}"
            due = done = r"\N"
            metadata = "{}"
            if kind in _TOUCHES:
                last = max(last, at)
                if kind == "phone_call":
                    metadata = '{"answered": true}' if chance.random() < 0.7 else '{"answered": false}'
            elif kind in ("task", "follow_up"):
                is_open = chance.random() < 0.1
                due = self.days[min(DAYS + int(chance.gauss(10, 20)), DAYS + 119)] if is_open else at[:10]
                done = r"\N" if is_open else at
                todo += is_open
            rows.append(
                f"{number}\t{kind}\t{chance.choice(self.subjects)}\t{chance.choice(self.contents)}\t{at}\t{user}\t"
                f"{metadata}\t{due}\t{done}\t\\N\t{at}\t{at}\n"
            )
        return last or r"\N", todo

    def _how_many(self) -> int:
        """Three on average; a third of all have none, and some have dozens."""
        if self.chance.random() < 0.33:
            return 0
        return min(200, int(self.chance.paretovariate(1.25)) + int(2.6 * self.chance.random()))


def email_of(number: int) -> str:
    return f"contact{number}@example.com"


def phone_of(number: int) -> str:
    return f"+1555{number:07}"


def _words(chance: random.Random, count: int, syllables: int) -> list[str]:
    """Return that many different words that can be spoken."""
    found: dict[str, None] = {}
    while len(found) < count:
        word = "".join(chance.choice("bcdfghklmnprstvw") + chance.choice("aeiou") for _ in range(syllables))
        found[(word + chance.choice(["", "n", "s", "rd", "l", "th"])).capitalize()] = None
    return list(found)
