from django.apps import AppConfig


class ImportsConfig(AppConfig):
    name = "crm.imports"
    label = "crm_imports"
    verbose_name = "Imports and exports"
