from django.urls import path

from crm import staff_views

urlpatterns = [path("", staff_views.contacts, name="staff-contacts")]
