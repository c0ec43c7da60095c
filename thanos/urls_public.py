"""The public domain: staff, webhooks, health."""

from allauth.account.decorators import secure_admin_login
from django.contrib import admin
from django.urls import include, path

from billing.webhooks import urlpatterns as billing_webhooks
from crm.payments.webhooks import urlpatterns as payment_webhooks
from telephony.texting.webhooks import urlpatterns as text_webhooks
from telephony.webhooks import urlpatterns as webhooks
from thanos import views

# Staff come in by the same door as everybody: rate limits, second factor and audit trail included.
admin.site.login = secure_admin_login(admin.site.login)  # type: ignore[method-assign]

urlpatterns = [
    *webhooks,
    *text_webhooks,
    *billing_webhooks,
    *payment_webhooks,
    path("", include("crm.email.urls_public")),
    path("", include("thanos.urls_shared")),
    path("", views.public_home, name="home"),
    path("accounts/", include("allauth.urls")),
    path("admin/doctor/", views.doctor, name="staff-doctor"),
    path("admin/live/", include("telephony.staff_urls")),
    path("admin/contacts/", include("crm.staff_urls")),
    path("admin/", admin.site.urls),
]
handler400 = "thanos.views.bad_request"
handler403 = "thanos.views.forbidden"
handler404 = "thanos.views.not_found"
handler500 = "thanos.views.server_error"
