from django.apps import AppConfig


class HooksConfig(AppConfig):
    name = "crm.hooks"
    label = "crm_hooks"
    verbose_name = "Webhooks"
