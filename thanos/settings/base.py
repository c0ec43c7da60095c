"""Settings shared by every way of running; what differs between them comes from the environment (`thanos.env`)."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import parse_qs, unquote, urlsplit

from csp.constants import NONE, SELF

from thanos.env import BASE_DIR, environment
from thanos.settings.background import *  # noqa: F403

ENV = environment()

SECRET_KEY = ENV.secret_key
DEBUG = ENV.debug
# The table of tenant domains is the real list of allowed hosts: an unknown one is a 404 (tenants.middleware).
ALLOWED_HOSTS = ENV.allowed_hosts
PUBLIC_URL = ENV.public_url

# --- applications and tenancy -----------------------------------------------------------------------------------

SHARED_APPS = [
    # Before django_tenants, so that our `create_tenant` is the one.
    "tenants",
    "thanos",
    # Its pages, and not the ones that django_tenants has in their place, whose inline styles the policy refuses.
    "django.contrib.admin",
    "django_tenants",
    "billing",
    "agents",
    # Content types, permissions, the admin and sessions live in the public schema only: Django caches content type
    # ids per process, which per-tenant tables would turn into wrong ids.
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.forms",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "channels",
    "csp",
    "django_htmx",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
]
TENANT_APPS = [
    "crm",
    "crm.hooks",
    "crm.imports",
    "crm.email",
    "crm.payments",
    "agents.organisation",
    "agents.connected",
    "agents.knowledge",
    "agents.chat",
    "agents.collaboration",
    "agents.trials",
    "telephony",
    "telephony.texting",
]
INSTALLED_APPS = [*SHARED_APPS, *TENANT_APPS]

TENANT_MODEL = "tenants.Tenant"
TENANT_DOMAIN_MODEL = "tenants.Domain"
TENANT_BASE_MIGRATE_COMMAND = "tenants.backend.migrating.Command"
DATABASE_ROUTERS = ["django_tenants.routers.TenantSyncRouter"]
PUBLIC_SCHEMA_URLCONF = "thanos.urls_public"
ROOT_URLCONF = "thanos.urls_tenant"

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "thanos.staticfiles.StaticFiles",
    "csp.middleware.CSPMiddleware",
    "thanos.middleware.ValidText",
    "tenants.middleware.TenantMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "thanos.middleware.NoStore",
    "tenants.middleware.MembershipMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "thanos.middleware.VaryOnHtmx",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "thanos.context.installation",
                "crm.context.tasks_due",
                "billing.context.money",
                "telephony.texting.context.unread_texts",
            ],
            "builtins": [
                "thanos.templatetags.ui",
                "crm.templatetags.contacts",
                "billing.templatetags.money",
                "django.contrib.humanize.templatetags.humanize",
            ],
        },
    }
]
FORM_RENDERER = "thanos.forms.Renderer"
ASGI_APPLICATION = "thanos.asgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- PostgreSQL and Redis -----------------------------------------------------------------------------------------


def database(url: str, pool_size: int, *, pool_timeout_s: float = 10, statement_timeout_s: int = 0) -> dict[str, object]:
    """Return Django's settings for a PostgreSQL address; a pool only where many threads share few connections."""
    parts = urlsplit(url)
    query = {key: values[0] for key, values in parse_qs(parts.query).items()}
    options: dict[str, object] = {"connect_timeout": 5}
    if "sslmode" in query:
        options["sslmode"] = query["sslmode"]
    if pool_size:
        options["pool"] = {"min_size": 1, "max_size": pool_size, "timeout": pool_timeout_s}
    limits = {}
    if statement_timeout_s:
        # Where people and the carrier wait for an answer, nobody keeps a connection for as long as they like.
        limits = {"statement_timeout": f"{statement_timeout_s}s", "lock_timeout": "5s"}
        limits["idle_in_transaction_session_timeout"] = f"{statement_timeout_s}s"
    return {
        # Keeps the current tenant in a context variable (tenants/backend/base.py).
        "ENGINE": "tenants.backend",
        "NAME": parts.path.lstrip("/"),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": query.get("host", parts.hostname or ""),
        "PORT": str(parts.port or ""),
        "CONN_MAX_AGE": 0,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": options,
        "LIMITS": limits,
    }


DATABASES = {
    "default": database(
        ENV.database_url,
        ENV.database_pool_size,
        pool_timeout_s=ENV.database_pool_timeout_s,
        statement_timeout_s=ENV.database_statement_timeout_s,
    )
}
ORIGINAL_BACKEND = "django.db.backends.postgresql"

REDIS_URL = ENV.redis_url
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL,
        "KEY_FUNCTION": "django_tenants.cache.make_key",
        "OPTIONS": {"socket_timeout": 2, "socket_connect_timeout": 2},
    }
}
CHANNEL_LAYERS = {
    # Not the core layer: its groups outlive an unclean exit, and its pool fails at about a hundred sockets.
    "default": {"BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer", "CONFIG": {"hosts": [REDIS_URL]}}
}

# --- people -------------------------------------------------------------------------------------------------------

AUTH_USER_MODEL = "tenants.User"
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "/"
ACCOUNT_ADAPTER = "tenants.accounts.AccountAdapter"
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*", "password2*"]
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_EMAIL_VERIFICATION = "none"  # people join by an invitation that was mailed to them
ACCOUNT_CHANGE_EMAIL = True
ACCOUNT_PREVENT_ENUMERATION = True
# By address, or by address and account together (tenants.guessing): never by the account alone, or whoever knows an e-mail
# address could keep its owner out.
ACCOUNT_RATE_LIMITS = {"login": "30/m/ip", "login_failed": "10/m/ip,5/300s/key", "reset_password": "5/m/ip,30/d/ip"}
ACCOUNT_LOGOUT_ON_GET = False
ACCOUNT_SESSION_REMEMBER = True
MFA_SUPPORTED_TYPES = ["totp", "recovery_codes"]
MFA_TOTP_ISSUER = "Thanotopolis"
MFA_TOTP_TOLERANCE = 1  # a code that was right while it was typed is taken
MFA_ADAPTER = "tenants.accounts.MFAAdapter"

SESSION_COOKIE_AGE = 60 * 60 * 24 * 14
SESSION_COOKIE_SAMESITE = "Lax"
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
_https = PUBLIC_URL.startswith("https://")
SESSION_COOKIE_SECURE = _https
CSRF_COOKIE_SECURE = _https
SECURE_HSTS_SECONDS = 60 * 60 * 24 * 365 if _https else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = _https
SECURE_HSTS_PRELOAD = _https
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CSRF_FAILURE_VIEW = "thanos.views.csrf_failure"

CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "img-src": [SELF, "data:"],
        "media-src": [SELF, "blob:"],
        "connect-src": [SELF],  # 'self' includes sockets to the same host (CSP level 3)
        "object-src": [NONE],
        "base-uri": [NONE],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    }
}

# --- e-mail, files, languages -------------------------------------------------------------------------------------

# Our own e-mail goes by the provider, else by the mail server; without either it is kept as files, and pages say so.
EMAIL_IS_DELIVERED = bool(ENV.email_url)  # there is a mail server
MAIL_IS_SENT = bool(ENV.sendgrid_api_key or ENV.email_url)
EMAIL_FILE_PATH = ENV.state_dir / "mail"
if ENV.sendgrid_api_key:
    EMAIL_BACKEND = "thanos.mail.ProviderBackend"
else:
    EMAIL_BACKEND = f"django.core.mail.backends.{'smtp' if EMAIL_IS_DELIVERED else 'filebased'}.EmailBackend"
EMAIL_TIMEOUT = 10
if EMAIL_IS_DELIVERED:
    _mail = urlsplit(ENV.email_url)
    EMAIL_HOST, EMAIL_PORT = _mail.hostname or "", _mail.port or 25
    EMAIL_HOST_USER, EMAIL_HOST_PASSWORD = unquote(_mail.username or ""), unquote(_mail.password or "")
    EMAIL_USE_SSL = _mail.scheme == "smtps"
    EMAIL_USE_TLS = "tls" in parse_qs(_mail.query, keep_blank_values=True)
DEFAULT_FROM_EMAIL = f"{ENV.smtp_from_name} <{ENV.smtp_from_email}>"
SERVER_EMAIL = ENV.smtp_from_email

STATIC_URL = "/static/"
STATIC_ROOT = ENV.state_dir / "static"
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    # Recordings: sealed before they reach the disk, in a folder per tenant (telephony.storage).
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": ENV.state_dir / "files"}},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}
# What may be attached to a contact's timeline.
ATTACHMENT_MAX_BYTES = 10 * 1024 * 1024
KNOWLEDGE_MAX_BYTES = 20 * 1024 * 1024
ATTACHMENT_TYPES = ["pdf", "png", "jpg", "jpeg", "gif", "webp", "txt", "csv", "md", "ics", "vcf", "eml", "doc", "docx"]
ATTACHMENT_TYPES += ["xls", "xlsx", "pptx", "odt", "ods", "mp3", "wav"]
# What may be uploaded as a file of contacts; more than that is refused before it is read.
IMPORT_MAX_BYTES = 200 * 1024 * 1024
LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = False

# --- REST ---------------------------------------------------------------------------------------------------------

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "tenants.authentication.ApiTokenAuthentication",
        "tenants.authentication.SignInAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["tenants.permissions.IsMember"],
    "DEFAULT_PAGINATION_CLASS": "rest_framework.pagination.PageNumberPagination",
    "PAGE_SIZE": 50,
    "DEFAULT_SCHEMA_CLASS": "tenants.schema.ApiSchema",
    "DEFAULT_PARSER_CLASSES": [
        "tenants.parsers.JSONParser",
        "tenants.parsers.FormParser",
        "tenants.parsers.MultiPartParser",
    ],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_THROTTLE_CLASSES": ["tenants.throttling.PrincipalThrottle", "tenants.throttling.TenantThrottle"],
    # "token" is the sign-in of the API, by address; the others count what is asked once somebody is known.
    "DEFAULT_THROTTLE_RATES": {"token": "60/min", "principal": "600/min", "tenant": "6000/min"},
    "NUM_PROXIES": 0,  # uvicorn has already put the true peer in REMOTE_ADDR; a header of the client's counts nothing
}
SIMPLE_JWT = {"ACCESS_TOKEN_LIFETIME": timedelta(minutes=60), "REFRESH_TOKEN_LIFETIME": timedelta(days=14)}
SPECTACULAR_SETTINGS = {
    "TITLE": "Thanotopolis",
    "DESCRIPTION": "Contacts and what happened with them, e-mail, and calls with the lines that answer them.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "COMPONENT_SPLIT_REQUEST": True,  # what is asked for and what is answered are described each for itself
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "ENUM_NAME_OVERRIDES": {
        "ContactStatusEnum": "crm.enums.Status",
        "CallStatusEnum": "telephony.enums.CallStatus",
        "EngineEnum": "telephony.enums.EngineName",
        "MailingStateEnum": "crm.email.enums.MailingState",
        "MessageStateEnum": "crm.email.enums.MessageState",
        "DomainStateEnum": "crm.email.enums.DomainState",
        "TextStateEnum": "telephony.texting.enums.State",
        "EnrolmentStateEnum": "crm.email.enums.EnrolmentState",
    },
}

# --- logs ---------------------------------------------------------------------------------------------------------

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"redact": {"()": "thanos.log.Redact"}},
    "formatters": {"line": {"()": "thanos.log.LineFormatter"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "filters": ["redact"], "formatter": "line"}},
    "root": {"handlers": ["console"], "level": "INFO"},
    "loggers": {
        "django": {"level": "INFO", "propagate": True, "handlers": []},
        "django.server": {"level": "WARNING", "propagate": True, "handlers": []},
        # Request lines and provider payloads carry numbers and words of callers.
        "uvicorn": {"level": "WARNING"},
        "uvicorn.access": {"level": "WARNING"},
        "twilio": {"level": "WARNING"},
        "stripe": {"level": "WARNING"},
        "httpx": {"level": "WARNING"},
        "httpx2": {"level": "WARNING"},
        "openai": {"level": "WARNING"},
        "anthropic": {"level": "WARNING"},
        "picows": {"level": "WARNING"},
        "websockets": {"level": "WARNING"},
        "celery": {"level": "WARNING"},
        "kombu": {"level": "WARNING"},
    },
}
