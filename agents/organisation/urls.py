from django.urls import path

from agents.organisation import views

app_name = "agents-organisation"
urlpatterns = [path("", views.settings, name="settings")]
