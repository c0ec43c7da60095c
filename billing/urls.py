from django.urls import path

from billing import views

app_name = "billing"
urlpatterns = [
    path("", views.costs, name="costs"),
    path("costs.csv", views.costs_csv, name="costs-csv"),
    path("entries/", views.entries, name="entries"),
    path("budget/", views.budget, name="budget"),
    path("plan/", views.plan, name="plan"),
    path("plan/portal/", views.portal, name="portal"),
    path("plan/refresh/", views.refresh, name="refresh"),
    path("plan/<slug:slug>/subscribe/", views.subscribe, name="subscribe"),
    path("plan/<slug:slug>/change/", views.change, name="change"),
]
