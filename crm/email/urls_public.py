"""What recipients and the provider ask for, on any host: the organisation is named by a signed link or by the event."""

from crm.email.views import preferences
from crm.email.webhooks import urlpatterns as webhooks

app_name = "mail"
urlpatterns = [*webhooks, *preferences.urlpatterns]
