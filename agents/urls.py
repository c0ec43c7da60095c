"""Below /agents/ of a tenant."""

from django.urls import path

from agents.views import agents

app_name = "agents"
urlpatterns = [
    path("", agents.agent_list, name="agent-list"),
    path("new/", agents.agent_new, name="agent-new"),
    path("<slug:slug>/", agents.agent_detail, name="agent-detail"),
    path("<slug:slug>/edit/", agents.agent_edit, name="agent-edit"),
    path("<slug:slug>/copy/", agents.agent_copy, name="agent-copy"),
    path("<slug:slug>/publish/", agents.agent_publish, name="agent-publish"),
    path("<slug:slug>/discard/", agents.agent_discard, name="agent-discard"),
    path("<slug:slug>/share/", agents.agent_share, name="agent-share"),
    path("<slug:slug>/switch/", agents.agent_switch, name="agent-switch"),
    path("<slug:slug>/versions/<int:number>/", agents.version_detail, name="version-detail"),
    path("<slug:slug>/versions/<int:number>/restore/", agents.version_restore, name="version-restore"),
]
