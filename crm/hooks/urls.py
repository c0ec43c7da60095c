"""Below /settings/webhooks/ of a tenant."""

from django.urls import path

from crm.hooks import views

app_name = "hooks"
urlpatterns = [
    path("", views.endpoint_list, name="endpoint-list"),
    path("new/", views.endpoint_new, name="endpoint-new"),
    path("<uuid:endpoint_id>/", views.endpoint_detail, name="endpoint-detail"),
    path("<uuid:endpoint_id>/edit/", views.endpoint_edit, name="endpoint-edit"),
    path("<uuid:endpoint_id>/pause/", views.endpoint_pause, name="endpoint-pause"),
    path("<uuid:endpoint_id>/resume/", views.endpoint_resume, name="endpoint-resume"),
    path("<uuid:endpoint_id>/test/", views.endpoint_test, name="endpoint-test"),
    path("<uuid:endpoint_id>/roll/", views.endpoint_roll, name="endpoint-roll"),
    path("<uuid:endpoint_id>/delete/", views.endpoint_delete, name="endpoint-delete"),
    path("<uuid:endpoint_id>/resend/", views.endpoint_resend, name="endpoint-resend"),
    path("<uuid:endpoint_id>/<uuid:delivery_id>/", views.delivery_detail, name="delivery-detail"),
    path("<uuid:endpoint_id>/<uuid:delivery_id>/resend/", views.delivery_resend, name="delivery-resend"),
]
