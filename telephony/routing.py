from django.urls import path

from telephony.live import LiveCall

websocket_urlpatterns = [path("ws/calls/<uuid:call_id>/", LiveCall.as_asgi())]
