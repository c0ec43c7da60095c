from django.apps import AppConfig


class KnowledgeConfig(AppConfig):
    name = "agents.knowledge"
    label = "agents_knowledge"
    verbose_name = "Knowledge"

    def ready(self) -> None:
        from agents.knowledge import receivers, tools  # noqa: F401
