from django.apps import AppConfig


class TextingConfig(AppConfig):
    name = "telephony.texting"
    label = "telephony_texting"
    verbose_name = "Text messages"

    def ready(self) -> None:
        from telephony.texting import erasing, receivers  # noqa: F401
        from telephony.texting.services import consent  # noqa: F401
