from django.apps import AppConfig


class TelephonyConfig(AppConfig):
    name = "telephony"
    verbose_name = "Telephony"

    def ready(self) -> None:
        from telephony import figures, outcomes, receivers, tools  # noqa: F401
        from telephony.services import erasing, reconciling  # noqa: F401
