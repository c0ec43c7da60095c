import re
from datetime import timedelta

import pytest
from django.core import mail
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


def test_only_the_hash_of_the_link_is_stored(invite):
    invite()

    token = link().split("/")[2]
    assert token not in str(Invitation.objects.values().get())


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
