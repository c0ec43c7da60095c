from django.apps import AppConfig


class ConnectedConfig(AppConfig):
    name = "agents.connected"
    label = "agents_connected"
    verbose_name = "Connected tools"

    def ready(self) -> None:
        from agents.connected.source import connected_tools
        from agents.tools import register_source

        register_source(connected_tools)
