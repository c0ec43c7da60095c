from django.urls import include, path

from agents.api import router as agents_router
from billing.api import router as billing_router
from billing.api import urlpatterns as billing_urlpatterns
from crm.api.routes import router as crm_router
from telephony.api import router
from telephony.texting.api import router as texts_router
from tenants.api import token_urlpatterns

urlpatterns = [
    path(
        "api/v1/",
        include(
            [
                *token_urlpatterns,
                *crm_router.urls,
                *agents_router.urls,
                *router.urls,
                *texts_router.urls,
                *billing_urlpatterns,
                *billing_router.urls,
            ]
        ),
    ),
]
