from django.apps import AppConfig


class AgentsConfig(AppConfig):
    name = "agents"
    verbose_name = "Agents"

    def ready(self) -> None:
        from agents import billing_tools, contact_tools, figures, receivers  # noqa: F401
        from agents.llm import figures as tokens  # noqa: F401
