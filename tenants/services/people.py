"""Inviting people, changing what they may do, and taking them out again."""

from __future__ import annotations

import hashlib
import logging
import secrets
from datetime import timedelta

from django.conf import settings
from django.core.mail import send_mail
from django.db import transaction
from django.db.models import F
from django.template.loader import render_to_string
from django.utils import timezone

from tenants.audit import record
from tenants.context import in_public
from tenants.enums import AuditAction, Role
from tenants.models import Invitation, Membership, Tenant, User
from tenants.seats import seats_of

logger = logging.getLogger("tenants")

INVITATION_LIFETIME = timedelta(days=7)


class PeopleError(ValueError):
    """The change is not possible; the text is for the person who asked."""


def token_hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def invite_person(*, tenant: Tenant, email: str, role: Role, invited_by: Membership, base_url: str) -> str:
    """Invite somebody by e-mail and return the link, which works once and for a week.

    Raises PeopleError for somebody who is a member, beyond what the plan allows, and for an owner invited by anybody but
    an owner.
    """
    email = email.strip().casefold()
    if role == Role.OWNER and not invited_by.is_owner:
        raise PeopleError("Only an owner can invite an owner.")
    if Membership.objects.filter(tenant=tenant, user__email__iexact=email).exists():
        raise PeopleError("This person is a member already.")
    _need_a_seat(tenant)
    token = secrets.token_urlsafe(32)
    with transaction.atomic():
        Invitation.objects.filter(tenant=tenant, email=email, accepted_at=None).delete()  # a new one replaces the old
        invitation = Invitation.objects.create(
            tenant=tenant,
            email=email,
            role=role,
            token_hash=token_hash(token),
            token=token,
            invited_by=invited_by.user,
            expires_at=timezone.now() + INVITATION_LIFETIME,
        )
        record(AuditAction.INVITED, tenant=tenant, actor=invited_by.user, target=f"invitation {invitation.pk} as {role}")
        link = f"{base_url}/join/{token}/"
        transaction.on_commit(lambda: _mail_invitation(invitation, link))
    return link


def _need_a_seat(tenant: Tenant) -> None:
    """Raises PeopleError when the plan has no place for one more."""
    seats = seats_of(tenant)
    if seats is not None and Membership.objects.filter(tenant=tenant).count() >= seats:
        people = "person" if seats == 1 else "people"
        raise PeopleError(f"Your plan is for {seats} {people}. Choose a larger one, or take somebody out first.")


def _mail_invitation(invitation: Invitation, link: str) -> None:
    """Raises nothing: the invitation stands, and its link can be handed over by whoever made it."""
    context = {"invitation": invitation, "link": link}
    subject = render_to_string("emails/invitation_subject.txt", context).strip()
    try:
        send_mail(subject, render_to_string("emails/invitation.txt", context), None, [invitation.email])
    except OSError:  # of mail servers and the provider alike
        logger.warning("An invitation could not be mailed.", extra={"invitation": invitation.pk})
        Invitation.objects.filter(pk=invitation.pk).update(is_mailed=False)
    else:
        Invitation.objects.filter(pk=invitation.pk).update(is_mailed=settings.MAIL_IS_SENT)


def find_invitation(*, tenant: Tenant, token: str) -> Invitation | None:
    """Return the open invitation a link stands for, or None when it is used, expired, foreign or made up."""
    invitation = Invitation.objects.filter(tenant=tenant, token_hash=token_hash(token)).first()
    return invitation if invitation and invitation.is_open else None


@transaction.atomic
def accept_invitation(*, invitation: Invitation, user: User | None, name: str = "", password: str = "") -> User:
    """Make the invited person a member, with a new account where there is none.

    Raises PeopleError when the invitation was used meanwhile, or when an account exists that nobody signed in to.
    """
    claimed = Invitation.objects.filter(pk=invitation.pk, accepted_at=None).update(accepted_at=timezone.now())
    if not claimed:
        raise PeopleError("This invitation was used already.")
    if user is None:
        if User.objects.filter(email__iexact=invitation.email).exists():
            raise PeopleError("You have an account already: sign in first, then open the link again.")
        user = User.objects.create_user(invitation.email, password, name=name)
    elif user.email.casefold() != invitation.email.casefold():
        raise PeopleError(f"This invitation is for {invitation.email}; you are signed in as {user.email}.")
    _need_a_seat(invitation.tenant)
    Membership.objects.get_or_create(tenant=invitation.tenant, user=user, defaults={"role": invitation.role})
    record(AuditAction.INVITATION_ACCEPTED, tenant=invitation.tenant, actor=user)
    return user


@transaction.atomic
def change_role(*, membership: Membership, role: Role, actor: Membership) -> None:
    """Raises PeopleError when only owners may do this, or when no owner would be left."""
    if (Role.OWNER in (membership.role, role)) and not actor.is_owner:
        raise PeopleError("Only an owner can make or change an owner.")
    _keep_an_owner(membership, leaving=role != Role.OWNER)
    Membership.objects.filter(pk=membership.pk).update(role=role)
    record(
        AuditAction.ROLE_CHANGED, tenant=membership.tenant, actor=actor.user, target=f"user {membership.user_id} to {role}"
    )


@transaction.atomic
def remove_member(*, membership: Membership, actor: Membership) -> None:
    """Raises PeopleError, as change_role."""
    if membership.is_owner and not actor.is_owner:
        raise PeopleError("Only an owner can remove an owner.")
    _keep_an_owner(membership, leaving=True)
    membership.delete()
    record(AuditAction.MEMBER_REMOVED, tenant=membership.tenant, actor=actor.user, target=f"user {membership.user_id}")


def _keep_an_owner(membership: Membership, *, leaving: bool) -> None:
    if not leaving:
        return
    # Locked, so that two owners cannot demote each other at the same moment.
    owners = Membership.objects.select_for_update().filter(tenant=membership.tenant, role=Role.OWNER)
    if (
        membership.pk in {owner.pk for owner in owners} and len(owners) <= 1
    ):  # counted here: count() in the database would not lock
        raise PeopleError("An organisation needs at least one owner.")


@transaction.atomic
def end_sign_ins(*, user: User, tenant: Tenant | None = None, ip_address: str | None = None) -> None:
    """End every session and JWT of a person, in all organisations and on all machines. Tokens of programs go on."""
    User.objects.filter(pk=user.pk).update(sign_in_round=F("sign_in_round") + 1)
    user.refresh_from_db(fields=["sign_in_round"])
    record(AuditAction.SIGN_INS_ENDED, tenant=tenant, actor=user, ip_address=ip_address)


def set_new_password(*, email: str, password: str | None = None) -> str:
    """Give an account a password, one made up unless given, and return it. Ends all its sign-ins.

    Raises PeopleError when nobody has this address.
    """
    with in_public():
        user = User.objects.filter(email__iexact=email.strip()).first()
        if user is None:
            raise PeopleError(f"Nobody has an account with the address {email}.")
        chosen = password or secrets.token_urlsafe(12)
        user.set_password(chosen)
        user.save(update_fields=["password"])
        record(AuditAction.SIGN_INS_ENDED, tenant=None, target=f"user {user.pk}: new password by command")
    return chosen
