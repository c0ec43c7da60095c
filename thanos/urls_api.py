from django.urls import include, path

from agents.api import router as agents_router
from crm.api.routes import router as crm_router
from telephony.api import router
from tenants.api import token_urlpatterns

urlpatterns = [
    path("api/v1/", include([*token_urlpatterns, *crm_router.urls, *agents_router.urls, *router.urls])),
]
