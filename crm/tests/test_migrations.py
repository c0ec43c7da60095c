from __future__ import annotations

from importlib import import_module

from django.apps import apps
from django.db import connection

from crm.models import ContactStatus, CrmSettings, ScoreRule

defaults = import_module("crm.migrations.0003_defaults")


class Editor:
    connection = connection


def test_an_organisation_older_than_contacts_gets_the_defaults_once(in_alice, bob, visit, owner):
    for model in (CrmSettings, ContactStatus, ScoreRule):
        model.objects.all().delete()

    defaults.add_defaults(apps, Editor)
    defaults.add_defaults(apps, Editor)

    assert (CrmSettings.objects.count(), ContactStatus.objects.count(), ScoreRule.objects.count()) == (1, 6, 8)
    assert visit(owner).get("/crm/").status_code == 200


def test_what_an_organisation_has_chosen_stays(in_alice):
    CrmSettings.objects.update(currency="EUR")
    ScoreRule.objects.all().delete()

    defaults.add_defaults(apps, Editor)

    assert CrmSettings.objects.get().currency == "EUR" and not ScoreRule.objects.exists()


def test_the_template_stays_empty(db):
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM tenant_template.crm_crmsettings")
        assert cursor.fetchone() == (0,)
