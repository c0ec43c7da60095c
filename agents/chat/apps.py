from django.apps import AppConfig


class ChatConfig(AppConfig):
    name = "agents.chat"
    label = "agents_chat"
    verbose_name = "Chat with agents"
