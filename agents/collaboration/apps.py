from django.apps import AppConfig


class CollaborationConfig(AppConfig):
    name = "agents.collaboration"
    label = "agents_collaboration"
    verbose_name = "Specialists in calls"
