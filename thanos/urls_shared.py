"""Addresses that exist on every host."""

from csp.constants import SELF, UNSAFE_INLINE
from csp.decorators import csp_update
from django.urls import path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from thanos import health

# The documentation's page draws itself with inline styles.
docs = csp_update({"style-src": [SELF, UNSAFE_INLINE]})(SpectacularSwaggerSplitView.as_view(url_name="schema"))

urlpatterns = [
    path("health", health.alive, name="health"),
    path("health/detailed", health.detailed, name="health-detailed"),
    path("metrics", health.metrics, name="metrics"),
    path("api/schema/", SpectacularAPIView.as_view(urlconf="thanos.urls_api"), name="schema"),
    path("api/docs/", docs, name="api-docs"),
]
