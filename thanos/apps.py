from django.apps import AppConfig


class ThanosConfig(AppConfig):
    name = "thanos"
    verbose_name = "Installation"

    def ready(self) -> None:
        # Shared tasks belong to the Celery application that was made last: without one they would go nowhere.
        from thanos import celery  # noqa: F401
