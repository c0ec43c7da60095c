"""Below /agents/knowledge/ of a tenant."""

from django.urls import path

from agents.knowledge import views

app_name = "knowledge"
urlpatterns = [
    path("", views.document_index, name="document-list"),
    path("try/", views.try_question, name="try"),
    path("new/<slug:kind>/", views.document_new, name="document-new"),
    path("<uuid:document_id>/", views.document_detail, name="document-detail"),
    path("<uuid:document_id>/edit/", views.document_edit, name="document-edit"),
    path("<uuid:document_id>/read/", views.document_read, name="document-read"),
    path("<uuid:document_id>/switch/", views.document_switch, name="document-switch"),
    path("<uuid:document_id>/delete/", views.document_delete, name="document-delete"),
]
