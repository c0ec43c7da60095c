"""What is missing or wrong in the configuration, each with the one step that cures it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from django.conf import settings
from django.db import connection
from redis.exceptions import RedisError

from billing.doctor import findings as billing_findings
from crm.email.services.doctor import findings as email_findings
from telephony.doctor import findings as telephony_findings
from telephony.engines.registry import is_configured
from telephony.enums import EngineName
from telephony.models import Line
from telephony.services.carrier import carrier
from telephony.twilio.errors import NotConfiguredError, NotFoundError, TelephonyError
from tenants.context import entered, in_public
from tenants.models import PhoneNumber, Tenant
from tenants.services.database import LOCAL_HOSTS, is_prepared
from thanos.keys import describe, try_keys
from thanos.redis import sync_client


@dataclass(frozen=True, slots=True)
class Finding:
    text: str
    cure: str
    stops_calls: bool


def diagnose() -> list[Finding]:
    """Return every finding; a check that needs what an earlier one missed is left out."""
    findings: list[Finding] = []
    for check in CHECKS:
        found = list(check())
        findings += found
        if check in FOUNDATIONS and any(finding.stops_calls for finding in found):
            break
    return findings


def _database() -> Iterator[Finding]:
    try:
        with in_public(), connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except Exception as error:  # whatever the driver says, it cannot be used
        yield Finding(f"PostgreSQL cannot be reached ({type(error).__name__}).", "Check DATABASE_URL.", True)
        return
    if not is_prepared():
        yield Finding("The database is not prepared.", "Run: manage.py prepare_database", True)


def _redis() -> Iterator[Finding]:
    try:
        sync_client().ping()
    except RedisError as error:
        yield Finding(f"Redis cannot be reached ({type(error).__name__}).", "Check REDIS_URL.", False)


def _public_address() -> Iterator[Finding]:
    url = settings.PUBLIC_URL
    if "twilio" in settings.ENV.sandboxed_providers or not settings.ENV.twilio_account_sid:
        return
    if urlsplit(url).hostname in LOCAL_HOSTS:  # whoever plays the carrier here speaks plain ws://
        return
    if not url.startswith("https://"):
        yield Finding(
            f"PUBLIC_BASE_URL is {url}: Twilio's media streams need https.", "Set PUBLIC_BASE_URL=https://…", True
        )


def _carrier() -> Iterator[Finding]:
    env = settings.ENV
    if not env.twilio_auth_token:
        yield Finding("No webhook can be verified: TWILIO_AUTH_TOKEN is missing.", "Set TWILIO_AUTH_TOKEN.", True)
    if not env.twilio_account_sid:
        yield Finding("TWILIO_ACCOUNT_SID is missing: no recordings, no hanging up.", "Set TWILIO_ACCOUNT_SID.", False)
        return
    try:
        carrier().fetch_call("CA" + "0" * 32)
    except (NotFoundError, NotConfiguredError):
        return  # it knows us, and has no such call
    except TelephonyError as error:
        if error.status == 401:
            # Signatures of webhooks are checked with the same token.
            cure = "Check TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN."
            yield Finding("Twilio's API does not accept us (401): a wrong account or token.", cure, True)
        elif error.status == 403:
            cure = "Check what the account may do: calls, recordings and messages are needed."
            yield Finding("Twilio's API does not let this account look at its calls (403).", cure, False)
        else:
            cure = "Check TWILIO_API_URL and the network."
            yield Finding(f"Twilio's API cannot be reached ({error.status or 'no answer'}).", cure, False)


def _calls() -> Iterator[Finding]:
    for text, cure in telephony_findings():
        yield Finding(text, cure, False)


def _voice_agent() -> Iterator[Finding]:
    if not settings.ENV.use_voice_agent:
        yield Finding("USE_VOICE_AGENT is off, and no other engine exists.", "Set USE_VOICE_AGENT=true.", True)
    elif not is_configured(EngineName.VOICE_AGENT):
        yield Finding("No voice provider: DEEPGRAM_API_KEY is missing.", "Set DEEPGRAM_API_KEY.", True)


def _providers() -> Iterator[Finding]:
    if not connection.in_atomic_block:
        connection.close()  # it is not kept while others are waited for
    for trial, trouble in try_keys(settings.ENV):
        text, cure = describe(trial, trouble)
        yield Finding(text, cure, trial.is_vital)


def _summaries() -> Iterator[Finding]:
    if not (settings.ENV.openai_api_key or settings.ENV.openai_base_url):
        yield Finding("Calls get no summary: no language model.", "Set OPENAI_API_KEY or OPENAI_BASE_URL.", False)


def _tenants() -> Iterator[Finding]:
    tenants = list(Tenant.objects.active())
    if not tenants:
        yield Finding("There is no organisation.", "Run: manage.py create_tenant --help", True)
        return
    if not PhoneNumber.objects.filter(is_active=True, tenant__is_active=True).exists():
        yield Finding("No active telephone number.", "Run: manage.py add_phone_number NUMBER --tenant DOMAIN", True)
    for tenant in tenants:
        with entered(tenant):
            if not Line.objects.filter(is_active=True).exists():
                yield Finding(
                    f"{tenant.name} has no line that is switched on.", "Switch one on under Settings, Lines.", False
                )


def _mail() -> Iterator[Finding]:
    if not settings.MAIL_IS_SENT:
        text = "No mail is sent: invitations and password resets are kept as files."
        yield Finding(text, "Set SENDGRID_API_KEY or EMAIL_URL.", False)


def _email() -> Iterator[Finding]:
    for text, cure in email_findings():
        yield Finding(text, cure, False)


def _billing() -> Iterator[Finding]:
    with in_public():
        for text, cure in billing_findings():
            yield Finding(text, cure, False)


def _keys() -> Iterator[Finding]:
    if len(settings.ENV.field_encryption_keys) > 1:
        yield Finding(
            "More than one encryption key is in use.", "Run: manage.py rotate_keys, then drop the old keys.", False
        )


FOUNDATIONS: tuple[Callable[[], Iterator[Finding]], ...] = (_database,)
CHECKS: tuple[Callable[[], Iterator[Finding]], ...] = (
    *FOUNDATIONS,
    _redis,
    _public_address,
    _carrier,
    _calls,
    _voice_agent,
    _providers,
    _summaries,
    _mail,
    _email,
    _billing,
    _keys,
    _tenants,
)
