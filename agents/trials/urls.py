"""Below /agents/trials/ of a tenant."""

from django.urls import path

from agents.trials import views

app_name = "trials"
urlpatterns = [
    path("", views.scenario_list, name="scenario-list"),
    path("new/", views.scenario_new, name="scenario-new"),
    path("<int:pk>/", views.scenario_detail, name="scenario-detail"),
    path("<int:pk>/edit/", views.scenario_edit, name="scenario-edit"),
    path("<int:pk>/delete/", views.scenario_delete, name="scenario-delete"),
    path("<int:pk>/<uuid:trial_id>/", views.trial_detail, name="trial-detail"),
]
