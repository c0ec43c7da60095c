"""The demonstration's organisation, as its first visitor finds it."""

from __future__ import annotations

from billing.models import LedgerEntry
from crm.models import Contact, Interaction
from telephony.models import Call
from tenants.context import entered, in_public
from tenants.models import Domain, PhoneNumber
from thanos.demo import add_history, ensure_demo


def test_the_demonstration_has_a_fortnight_of_calls_with_costs_and_contacts(alice, settings, monkeypatch):
    monkeypatch.setattr(settings.ENV, "sandboxed_providers", ["twilio", "deepgram"])

    with in_public():
        PhoneNumber.objects.all().delete()  # one of Alice's is the demonstration's

    demo = ensure_demo()

    added = add_history(demo)
    tenant = Domain.objects.get(domain=demo.domain).tenant
    assert (demo.password is not None, tenant.time_zone) == (True, "America/New_York")
    with entered(tenant):
        calls = list(Call.objects.all())
        assert added == len(calls) and 28 <= added <= 56
        assert len({call.started_at.date() for call in calls}) >= 14
        assert not Call.objects.filter(contact=None).exists()
        assert all(call.metered_at and call.logged_at for call in calls)
        assert {call.messages.count() > 1 for call in calls} == {True}
        assert Interaction.objects.filter(natural_key__startswith="call:").count() == len(calls)
        assert Contact.objects.filter(source="phone call").exists()
        assert Call.objects.with_words("haircut").exists()
    assert set(LedgerEntry.objects.filter(tenant=tenant, kind="call").values_list("subject", flat=True)) == {
        str(call.pk) for call in calls
    }
    assert not LedgerEntry.objects.filter(tenant=alice).exists()
    assert ensure_demo().password is None
    with entered(tenant):
        assert Call.objects.count() == len(calls)
