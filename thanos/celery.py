"""The Celery application: `celery -A thanos.celery worker`, `celery -A thanos.celery beat`."""

import os

from django.conf import settings

if not settings.configured:  # started by Celery's own command: nobody has chosen settings yet
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "thanos.settings.prod")
    os.environ.setdefault("DATABASE_POOL_SIZE", "10")

from tenants.celery import TenantCelery
from thanos.broker import survive_loss
from thanos.heartbeat import Heartbeat

survive_loss()

app = TenantCelery("thanos")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.steps["consumer"].add(Heartbeat)
