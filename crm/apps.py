from django.apps import AppConfig


class CrmConfig(AppConfig):
    name = "crm"
    verbose_name = "Contacts"

    def ready(self) -> None:
        from crm import figures, receivers  # noqa: F401
