from django.apps import AppConfig


class EmailConfig(AppConfig):
    name = "crm.email"
    label = "crm_email"
    verbose_name = "E-mail"

    def ready(self) -> None:
        from crm.email import domain_receivers, receivers  # noqa: F401
