from django.urls import path

from crm.payments import views

app_name = "payments"
urlpatterns = [
    path("settings/payments/", views.connect, name="connect"),
    path("settings/payments/disconnect/", views.disconnect, name="disconnect"),
    path("crm/contacts/<int:contact_id>/payments/", views.contact, name="contact"),
    path("crm/contacts/<int:contact_id>/payments/link/", views.link, name="link"),
    path("crm/contacts/<int:contact_id>/payments/create/", views.create, name="create"),
    path("crm/contacts/<int:contact_id>/payments/unlink/", views.unlink, name="unlink"),
    path("crm/contacts/<int:contact_id>/payments/refresh/", views.refresh, name="refresh"),
]
