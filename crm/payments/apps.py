from django.apps import AppConfig


class PaymentsConfig(AppConfig):
    name = "crm.payments"
    label = "crm_payments"
    verbose_name = "Payments of contacts"

    def ready(self) -> None:
        from crm.payments import receivers, variables  # noqa: F401
