import re
from datetime import timedelta

import pytest
from django.core import mail
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from tenants.enums import AuditAction, Role
from tenants.models import AuditEvent, Invitation, Membership, User


@pytest.fixture
def manager(owner, visit):
    return visit(owner)


@pytest.fixture
def invite(manager, django_capture_on_commit_callbacks):
    def send(email="new@alice.test", role="member", client=None):
        with django_capture_on_commit_callbacks(execute=True):
            return (client or manager).post("/settings/people/invite/", {"email": email, "role": role})

    return send


def link() -> str:
    return re.search(r"/join/\S+", mail.outbox[-1].body).group()


def test_an_invitation_is_mailed_and_works_once(invite, visit, alice):
    assert invite().status_code == 302
    assert mail.outbox[-1].subject == "Join Alice's"

    guest = visit()
    assert b"Join Alice" in guest.get(link()).content
    response = guest.post(link(), {"name": "Nora New", "password": "a long enough password"})

    assert response.status_code == 302
    joined = Membership.objects.get(user__email="new@alice.test")
    assert (joined.tenant, joined.role, joined.user.name) == (alice, Role.MEMBER, "Nora New")
    assert guest.get("/").status_code == 200  # signed in at once
    assert visit().get(link()).status_code == 404


def test_the_link_works_on_its_own_tenant_only(invite, visit):
    invite()

    assert visit(host="bob.test").get(link()).status_code == 404


def test_the_link_is_stored_as_a_hash_and_encrypted(invite):
    invite()

    token = link().split("/")[2]
    assert Invitation.objects.get().token == token
    with connection.cursor() as cursor:
        cursor.execute("SELECT i::text FROM tenants_invitation i")
        assert token not in str(cursor.fetchall())


def test_an_owners_link_is_shown_to_owners_alone(invite, manager, admin, visit):
    """Whoever opens it first becomes an owner."""
    invite(email="next@alice.test", role="owner")
    invite(email="new@alice.test", role="member")

    assert manager.get("/settings/people/").content.count(b'value="https://alice.test/join/') == 2
    assert visit(admin).get("/settings/people/").content.count(b'value="https://alice.test/join/') == 1


@pytest.mark.parametrize("outbox", ["", "http://127.0.0.1:1/sandbox/mail"])
@pytest.mark.parametrize("is_sent", [True, False])
def test_the_page_says_what_becomes_of_the_e_mail(manager, settings, monkeypatch, outbox, is_sent):
    settings.MAIL_IS_SENT = is_sent
    monkeypatch.setattr(type(settings.ENV), "outbox_url", outbox)

    page = manager.post("/settings/people/invite/", {"email": "x@x.test", "role": "member"}, follow=True).content.decode()

    assert ("on its way" in page) == (is_sent and not outbox)
    assert ("is in the outbox" in page) == (is_sent and bool(outbox))
    assert ("No e-mail went to" in page) == (not is_sent)


def test_an_expired_or_withdrawn_link_is_dead(invite, manager, visit):
    invite()
    Invitation.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert visit().get(link()).status_code == 404

    invite(email="other@alice.test")
    invitation = Invitation.objects.get(email="other@alice.test")
    manager.post(f"/settings/people/invitations/{invitation.pk}/withdraw/")
    assert visit().get(link()).status_code == 404


def test_a_second_invitation_replaces_the_first(invite, visit):
    invite()
    first = link()
    invite()

    assert visit().get(first).status_code == 404
    assert Invitation.objects.count() == 1


def test_a_weak_password_is_refused(invite, visit):
    invite()

    visit().post(link(), {"name": "Nora", "password": "password"})

    assert not User.objects.filter(email="new@alice.test").exists()


def test_somebody_with_an_account_signs_in_and_joins(invite, visit, stranger, alice):
    invite(email=stranger.email)

    guest = visit(stranger)
    assert guest.post(link()).status_code == 302

    assert Membership.objects.filter(tenant=alice, user=stranger).exists()


def test_nobody_joins_with_anothers_account(invite, visit, stranger, alice):
    invite(email="new@alice.test")

    visit(stranger).post(link())

    assert not Membership.objects.filter(tenant=alice, user=stranger).exists()
    assert Invitation.objects.get().is_open


def test_an_account_is_not_taken_over_by_an_invitation(invite, visit, stranger):
    invite(email=stranger.email)

    visit().post(link(), {"name": "X", "password": "a long enough password"})

    stranger.refresh_from_db()
    assert stranger.check_password("correct horse battery")


def test_a_member_cannot_be_invited_again(invite, member):
    assert invite(email=member.email).status_code == 422


def test_an_admin_cannot_invite_an_owner(invite, admin, visit):
    assert invite(role="owner", client=visit(admin)).status_code == 422
    assert not Invitation.objects.exists()


def role_of(user) -> str:
    return Membership.objects.get(user=user, tenant__domains__domain="alice.test").role


def change(client, user, role):
    membership = Membership.objects.get(user=user, tenant__domains__domain="alice.test")
    return client.post(f"/settings/people/{membership.pk}/role/", {"role": role})


def test_an_owner_changes_roles_and_it_is_written_down(manager, member, owner):
    change(manager, member, "admin")

    assert role_of(member) == Role.ADMIN
    event = AuditEvent.objects.get(action=AuditAction.ROLE_CHANGED)
    assert (event.actor, event.target) == (owner, f"user {member.pk} to admin")


def test_an_admin_neither_makes_nor_unmakes_owners(visit, admin, member, owner):
    change(visit(admin), member, "owner")
    change(visit(admin), owner, "member")

    assert (role_of(member), role_of(owner)) == (Role.MEMBER, Role.OWNER)


def test_the_last_owner_stays(manager, owner):
    change(manager, owner, "member")
    membership = Membership.objects.get(user=owner)
    manager.post(f"/settings/people/{membership.pk}/remove/")

    assert role_of(owner) == Role.OWNER


def test_a_removed_member_is_a_stranger_at_once(manager, member, visit):
    session = visit(member)
    assert session.get("/").status_code == 200

    membership = Membership.objects.get(user=member)
    manager.post(f"/settings/people/{membership.pk}/remove/")

    assert session.get("/").status_code == 404


def test_another_tenants_membership_cannot_be_touched(manager, stranger):
    membership = Membership.objects.get(user=stranger)

    assert manager.post(f"/settings/people/{membership.pk}/remove/").status_code == 404
    assert manager.post(f"/settings/people/{membership.pk}/role/", {"role": "member"}).status_code == 404
    membership.refresh_from_db()
    assert membership.role == Role.OWNER


# --- a lost password --------------------------------------------------------------------------------------------------


def test_a_command_gives_a_new_password_and_ends_what_was_open(owner, visit, capsys):
    signed_in = visit(owner)
    call_command("set_password", "Owner@Alice.test")
    password = capsys.readouterr().out.split()[-1]

    assert User.objects.get(pk=owner.pk).check_password(password)
    assert signed_in.get("/").status_code == 302


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["nobody@alice.test"], "Nobody has an account"), (["owner@alice.test", "--password=x"], "too short")],
)
def test_it_refuses_in_a_sentence(alice, arguments, said):
    with pytest.raises(CommandError, match=said):
        call_command("set_password", *arguments)


def test_the_audit_trail_is_for_people(owner, visit, alice):
    from tenants.audit import record

    record(AuditAction.NUMBER_ATTACHED, tenant=alice, target="number 1")
    record(AuditAction.CALL_VIEWED, tenant=alice, actor=owner, target="call 0b0c3a52-6d2e-4f57-9d4a-0a4f0f1d2c3b")

    page = visit(owner).get("/settings/audit/").content.decode()

    assert "call 0b0c3a52…" in page and "6d2e" not in page
    assert "The system" in page
    assert 'tabindex="0"' in page, "or nobody scrolls it with a keyboard"
