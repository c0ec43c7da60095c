"""The pages of a tenant, and the API's routes of this room."""

from django.urls import include, path
from rest_framework.routers import DefaultRouter

from crm.hooks.api import WebhookEndpointViewSet

router = DefaultRouter()
router.include_root_view = False
router.register("webhooks", WebhookEndpointViewSet, basename="webhook")

urlpatterns = [path("api/v1/", include(router.urls)), path("", include("thanos.urls_tenant"))]
