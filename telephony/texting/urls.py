from django.urls import path

from telephony.texting import views

app_name = "texting"
urlpatterns = [
    path("", views.conversation_list, name="list"),
    path("new/", views.text_new, name="new"),
    path("settings/", views.settings_edit, name="settings"),
    path("<int:conversation_id>/", views.thread, name="thread"),
    path("<int:conversation_id>/unread/", views.conversation_unread, name="unread"),
    path("<int:conversation_id>/agent/", views.conversation_agent, name="agent"),
    path("<int:conversation_id>/wish/", views.conversation_wish, name="wish"),
]
