from crm.email.views import composing, domains, mailings, sequences, setup, suppressions, templates

app_name = "email"
urlpatterns = [
    *mailings.urlpatterns,
    *composing.urlpatterns,
    *templates.urlpatterns,
    *sequences.urlpatterns,
    *domains.urlpatterns,
    *suppressions.urlpatterns,
    *setup.urlpatterns,
]
