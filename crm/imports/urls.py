from django.urls import path

from crm.imports import views

app_name = "imports"
urlpatterns = [
    path("imports/", views.import_list, name="list"),
    path("imports/new/", views.import_upload, name="upload"),
    path("imports/<int:import_id>/", views.import_detail, name="detail"),
    path("imports/<int:import_id>/reading/", views.import_reading, name="reading"),
    path("imports/<int:import_id>/columns/", views.import_columns, name="columns"),
    path("imports/<int:import_id>/answers/", views.import_answers, name="answers"),
    path("imports/<int:import_id>/start/", views.import_start, name="start"),
    path("imports/<int:import_id>/cancel/", views.import_cancel, name="cancel"),
    path("imports/<int:import_id>/undo/", views.import_undo, name="undo"),
    path("imports/<int:import_id>/bad-rows/", views.import_bad_rows, name="bad-rows"),
    path("imports/<int:import_id>/unread-cells/", views.import_unread_cells, name="unread-cells"),
    path("export/", views.contact_export, name="export"),
]
