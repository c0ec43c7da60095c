from django.apps import AppConfig


class TrialsConfig(AppConfig):
    name = "agents.trials"
    label = "agents_trials"
    verbose_name = "Trials of agents"
