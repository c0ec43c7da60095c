from django.apps import AppConfig


class OrganisationConfig(AppConfig):
    name = "agents.organisation"
    label = "agents_organisation"
    verbose_name = "Agents of an organisation"

    def ready(self) -> None:
        from agents.organisation import receivers  # noqa: F401
