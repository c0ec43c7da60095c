"""Below /agents/chat/ of a tenant."""

from django.urls import path

from agents.chat import views

app_name = "chat"
urlpatterns = [
    path("", views.start, name="start"),
    path("<uuid:conversation_id>/", views.conversation_detail, name="conversation"),
    path("<uuid:conversation_id>/send/", views.message_send, name="message-send"),
    path("<uuid:conversation_id>/agent/", views.agent_choose, name="agent-choose"),
    path("<uuid:conversation_id>/delete/", views.conversation_delete, name="conversation-delete"),
    path("<uuid:conversation_id>/<uuid:message_id>/", views.message_detail, name="message-detail"),
    path("<uuid:conversation_id>/<uuid:message_id>/stream/", views.message_stream, name="message-stream"),
    path("<uuid:conversation_id>/<uuid:message_id>/retry/", views.answer_retry, name="answer-retry"),
    path("<uuid:conversation_id>/<uuid:message_id>/stop/", views.answer_stop, name="answer-stop"),
]
