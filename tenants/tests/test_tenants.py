import json
import tarfile

import pytest
from django.db import connection

from telephony.models import Line
from telephony.services.lines import line_defaults
from telephony.tests.factories import add_message, make_call
from tenants.context import entered
from tenants.enums import AuditAction, Role
from tenants.models import AuditEvent, Domain, Membership, Tenant, User
from tenants.services import tenants as services
from tenants.services.numbers import NumberError, attach_number
from tenants.services.tenants import (
    TenantError,
    activate_tenant,
    create_tenant,
    deactivate_tenant,
    delete_tenant,
    export_tenant,
)


def schemas() -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT nspname FROM pg_namespace WHERE nspname LIKE 't\\_%'")
        return {row[0] for row in cursor.fetchall()}


def create(**changes):
    values = {
        "name": "Carol's",
        "domain": "carol.test",
        "admin_email": "carol@carol.test",
        "admin_password": "correct horse",
    }
    return create_tenant(**{**values, **changes})


def test_a_new_tenant_is_usable_at_once(db):
    tenant = create()

    assert tenant.primary_domain == "carol.test"
    assert Membership.objects.get(tenant=tenant).role == Role.OWNER
    assert User.objects.get(email="carol@carol.test").check_password("correct horse")
    with entered(tenant):
        line = Line.objects.get()
        assert line.is_default
        assert line.greeting == line_defaults()["greeting"]
        make_call(line)
    assert AuditEvent.objects.get(tenant=tenant).action == AuditAction.TENANT_CREATED


def test_a_new_tenant_has_every_table_of_a_migrated_one(db, alice):
    tenant = create()

    def tables(schema):
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT table_name, column_name, data_type FROM information_schema.columns WHERE table_schema = %s",
                [schema],
            )
            return set(cursor.fetchall())

    assert tables(tenant.schema_name) == tables("tenant_template")
    assert len(tables(tenant.schema_name)) > 50


def test_its_rows_point_at_its_own_tables(db):
    tenant = create()

    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT f.relnamespace::regnamespace::text FROM pg_constraint c JOIN pg_class t ON t.oid = c.conrelid"
            " JOIN pg_class f ON f.oid = c.confrelid WHERE c.contype = 'f' AND t.relnamespace = %s::regnamespace",
            [tenant.schema_name],
        )
        assert {row[0] for row in cursor.fetchall()} == {tenant.schema_name}


def test_a_known_persons_password_is_left_alone(alice, owner):
    create(admin_email=owner.email.upper(), admin_password="another one")

    owner.refresh_from_db()
    assert owner.check_password("correct horse battery")
    assert Membership.objects.filter(user=owner).count() == 2


@pytest.mark.parametrize("domain", ["alice.test", "ALICE.test", " alice.test "])
def test_a_taken_domain_is_refused(alice, domain):
    with pytest.raises(TenantError, match="already belongs"):
        create(domain=domain)


@pytest.mark.parametrize(
    "domain", ["", "not a host", "http://x.test", "x..test", "-x.test", "x_y.test", "a" * 64 + ".test"]
)
def test_a_malformed_domain_is_refused(db, domain):
    with pytest.raises(TenantError, match="not a host name"):
        create(domain=domain)


def test_a_failed_creation_leaves_nothing_behind(db, monkeypatch):
    before = schemas(), Tenant.objects.count(), User.objects.count(), Domain.objects.count()

    def fail(**_):
        raise RuntimeError("the last step fails")

    monkeypatch.setattr(services.tenant_created, "send", fail)
    with pytest.raises(RuntimeError):
        create()

    assert (schemas(), Tenant.objects.count(), User.objects.count(), Domain.objects.count()) == before


def test_a_stale_template_is_refused(db):
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM tenant_template.django_migrations WHERE app = 'telephony'")

    with pytest.raises(TenantError, match="prepare_database"):
        create()


def test_switching_off_is_noted_once_and_told(alice):
    told = []
    services.tenant_deactivated.connect(lambda **_: told.append(connection.schema_name), weak=False, dispatch_uid="test")

    deactivate_tenant(tenant=alice)
    deactivate_tenant(tenant=alice)
    services.tenant_deactivated.disconnect(dispatch_uid="test")

    assert told == [alice.schema_name]
    assert AuditEvent.objects.filter(action=AuditAction.TENANT_DEACTIVATED).count() == 1
    activate_tenant(tenant=alice)
    assert Tenant.objects.get(pk=alice.pk).is_active


def test_an_export_holds_the_tenants_rows_and_nobody_elses(alice, bob):
    for tenant, word in ((alice, "hers"), (bob, "his")):
        with entered(tenant):
            add_message(make_call(), 1, "user", f"these words are {word}")

    path = export_tenant(tenant=alice)

    with tarfile.open(path) as archive:
        (member,) = [item for item in archive.getmembers() if item.name.endswith("rows.jsonl")]
        rows = [json.loads(line) for line in archive.extractfile(member)]
    texts = [row["fields"].get("text") for row in rows if row["model"] == "telephony.callmessage"]
    assert texts == ["these words are hers"]
    assert path.stat().st_mode & 0o077 == 0


def test_deleting_exports_first_and_then_drops(alice, bob):
    with entered(alice):
        make_call()
        connection.check_constraints()  # a commit would have done it

    path = delete_tenant(tenant=alice)

    assert path.exists()
    assert alice.schema_name not in schemas()
    assert not Tenant.objects.filter(pk=alice.pk).exists()
    assert not Domain.objects.filter(domain="alice.test").exists()
    gone = AuditEvent.objects.get(action=AuditAction.TENANT_DELETED)
    assert (gone.tenant, gone.tenant_name, gone.target) == (None, "Alice's", alice.schema_name)
    with entered(bob):
        assert Line.objects.exists()


def test_an_export_that_fails_keeps_everything(alice, monkeypatch):
    def fail(**_):
        raise OSError("disk full")

    monkeypatch.setattr(services, "export_tenant", fail)
    with pytest.raises(OSError):
        delete_tenant(tenant=alice)

    assert alice.schema_name in schemas()


def test_a_number_gets_a_line_of_its_own(in_alice):
    Line.objects.filter(is_default=True).update(greeting="Our own greeting.")

    row = attach_number(number="+15550777", tenant=in_alice)

    line = Line.objects.get(phone_number="+15550777")
    assert (line.name, line.greeting, line.is_default) == ("+15550777", "Our own greeting.", False)
    assert row.tenant == in_alice


@pytest.mark.parametrize("number", ["15550777", "+0555", "+1555-0777", "", "+1 555 0777", "+12345678901234567"])
def test_a_malformed_number_is_refused(alice, number):
    with pytest.raises(NumberError, match="E.164"):
        attach_number(number=number, tenant=alice)


def test_a_taken_number_is_refused_with_its_owner(alice, bob):
    with pytest.raises(NumberError, match="Alice's"):
        attach_number(number="+15550100", tenant=bob)
