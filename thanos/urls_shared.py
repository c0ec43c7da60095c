"""Addresses that exist on every host."""

from csp.constants import SELF, UNSAFE_INLINE
from csp.decorators import csp_update
from django.templatetags.static import static
from django.urls import path
from django.views.decorators.http import require_safe
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from tenants.access import insider_required
from tenants.permissions import IsInsider
from thanos import health


class IconView(RedirectView):
    """Browsers ask for it where a page names none, such as the staff's and the documentation's."""

    http_method_names = ["get", "head"]

    def get_redirect_url(self, *args: object, **kwargs: object) -> str:
        return static("img/mark.svg")


# The documentation's page draws itself with inline styles.
swagger = SpectacularSwaggerSplitView.as_view(url_name="schema", permission_classes=[IsInsider])
docs = require_safe(insider_required(csp_update({"style-src": [SELF, UNSAFE_INLINE]})(swagger)))
schema = require_safe(SpectacularAPIView.as_view(urlconf="thanos.urls_api", permission_classes=[IsInsider]))

urlpatterns = [
    path("health", health.alive, name="health"),
    path("health/detailed", health.detailed, name="health-detailed"),
    path("metrics", health.metrics, name="metrics"),
    path("favicon.ico", IconView.as_view(), name="favicon"),
    path("api/schema/", schema, name="schema"),
    path("api/docs/", docs, name="api-docs"),
]
