"""Below /agents/tools/ of a tenant."""

from django.urls import path

from agents.connected import views

app_name = "connected"
urlpatterns = [
    path("", views.tool_list, name="tool-list"),
    path("http/new/", views.http_new, name="http-new"),
    path("http/<int:pk>/", views.http_detail, name="http-detail"),
    path("http/<int:pk>/edit/", views.http_edit, name="http-edit"),
    path("http/<int:pk>/delete/", views.http_delete, name="http-delete"),
    path("mcp/new/", views.mcp_new, name="mcp-new"),
    path("mcp/<int:pk>/", views.mcp_detail, name="mcp-detail"),
    path("mcp/<int:pk>/edit/", views.mcp_edit, name="mcp-edit"),
    path("mcp/<int:pk>/refresh/", views.mcp_refresh, name="mcp-refresh"),
    path("mcp/<int:pk>/delete/", views.mcp_delete, name="mcp-delete"),
]
