"""Production: the same settings, checked harder. Secrets must come from the environment, not from a generated file."""

from django.core.exceptions import ImproperlyConfigured

from thanos.settings.base import *  # noqa: F403
from thanos.settings.base import ENV

for name in ("database_url", "redis_url", "public_base_url"):
    if not getattr(ENV, name):
        raise ImproperlyConfigured(f"{name.upper()} must be set in production.")
if not ENV.public_base_url.startswith("https://"):
    raise ImproperlyConfigured("PUBLIC_BASE_URL must be https:// in production: media streams refuse plain ws://.")

SECURE_SSL_REDIRECT = True
# Providers, probes and the metrics scraper may come in behind the proxy without TLS.
SECURE_REDIRECT_EXEMPT = [r"^health", r"^metrics$", r"^api/webhooks/"]
