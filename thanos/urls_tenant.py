"""A tenant's domain: its pages and its API."""

from django.urls import include, path

from thanos import views

urlpatterns = [
    path("", include("thanos.urls_shared")),
    path("", include("thanos.urls_api")),
    path("accounts/", include("allauth.urls")),
    path("", include("tenants.urls")),
    path("crm/", include("crm.imports.urls")),
    path("", include("crm.email.urls")),
    path("", include("crm.payments.urls")),
    path("", include("crm.urls")),
    path("agents/settings/", include("agents.organisation.urls")),
    path("agents/tools/", include("agents.connected.urls")),
    path("agents/knowledge/", include("agents.knowledge.urls")),
    path("agents/trials/", include("agents.trials.urls")),
    path("agents/chat/", include("agents.chat.urls")),
    path("agents/", include("agents.urls")),
    path("billing/", include("billing.urls")),
    path("calls/texts/", include("telephony.texting.urls")),
    path("", include("telephony.urls")),
    path("settings/webhooks/", include("crm.hooks.urls")),
    path("style/", views.style_page, name="style"),
]
handler400 = "thanos.views.bad_request"
handler403 = "thanos.views.forbidden"
handler404 = "thanos.views.not_found"
handler500 = "thanos.views.server_error"
