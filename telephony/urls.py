from django.urls import path

from telephony import views

app_name = "telephony"
urlpatterns = [
    path("", views.dashboard, name="dashboard"),
    path("calls/", views.call_list, name="call-list"),
    path("calls/test/", views.test_call, name="test-call"),
    path("calls/<uuid:call_id>/", views.call_detail, name="call-detail"),
    path("calls/<uuid:call_id>/status/", views.call_status, name="call-status"),
    path("calls/<uuid:call_id>/specialists/", views.call_specialists, name="call-specialists"),
    path("calls/<uuid:call_id>/costs/", views.call_costs, name="call-costs"),
    path("calls/<uuid:call_id>/scenario/", views.call_scenario, name="call-scenario"),
    path("calls/<uuid:call_id>/hang-up/", views.call_hang_up, name="call-hang-up"),
    path("calls/<uuid:call_id>/erase/", views.call_erase, name="call-erase"),
    path("calls/<uuid:call_id>/say/", views.call_say, name="call-say"),
    path("calls/<uuid:call_id>/type/", views.call_type, name="call-type"),
    path("calls/<uuid:call_id>/recordings/<int:recording_id>/", views.recording_audio, name="recording-audio"),
    path("settings/lines/", views.line_list, name="line-list"),
    path("settings/lines/<int:line_id>/", views.line_detail, name="line-detail"),
    path("settings/lines/<int:line_id>/prompt/", views.line_prompt, name="line-prompt"),
]
