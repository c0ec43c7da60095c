from django.urls import path

from tenants import token_views, views

app_name = "tenants"
urlpatterns = [
    path("settings/people/", views.people_list, name="people"),
    path("settings/people/invite/", views.invite, name="invite"),
    path(
        "settings/people/invitations/<int:invitation_id>/withdraw/", views.invitation_withdraw, name="invitation-withdraw"
    ),
    path("settings/people/<int:membership_id>/role/", views.role_change, name="role-change"),
    path("settings/people/<int:membership_id>/remove/", views.member_remove, name="member-remove"),
    path("settings/tokens/", token_views.token_list, name="tokens"),
    path("settings/tokens/new/", token_views.token_create, name="token-create"),
    path("settings/tokens/<int:token_id>/revoke/", token_views.token_revoke, name="token-revoke"),
    path("settings/sign-ins/end/", views.sign_ins_end, name="sign-ins-end"),
    path("settings/organisation/", views.organisation, name="organisation"),
    path("settings/audit/", views.audit_trail, name="audit"),
    path("organisations/", views.switch, name="switch"),
    path("join/<str:token>/", views.join, name="join"),
]
