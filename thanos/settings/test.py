"""The test suite: real PostgreSQL and Redis, quick password hashing, mail kept in memory, static files unhashed."""

from thanos.settings.base import *  # noqa: F403
from thanos.settings.base import STORAGES

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
EMAIL_IS_DELIVERED = MAIL_IS_SENT = True
STORAGES = {**STORAGES, "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}}
ACCOUNT_RATE_LIMITS = False  # type: ignore[assignment]
CELERY_TASK_ALWAYS_EAGER = False
