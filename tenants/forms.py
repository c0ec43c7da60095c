from __future__ import annotations

from datetime import datetime, timedelta

from django import forms
from django.contrib.auth.password_validation import validate_password
from django.utils import timezone

from tenants.enums import Role, Scope


class InvitationForm(forms.Form):
    email = forms.EmailField(label="E-mail")
    role = forms.ChoiceField(choices=Role, initial=Role.MEMBER)


class RoleForm(forms.Form):
    role = forms.ChoiceField(choices=Role)


class JoinForm(forms.Form):
    name = forms.CharField(max_length=120, widget=forms.TextInput(attrs={"autocomplete": "name"}))
    password = forms.CharField(widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}))

    def clean_password(self) -> str:
        password: str = self.cleaned_data["password"]
        validate_password(password)
        return password


class TenantSettingsForm(forms.Form):
    name = forms.CharField(max_length=120)
    time_zone = forms.CharField(max_length=64, help_text="Such as Europe/London.")

    def clean_time_zone(self) -> str:
        import zoneinfo

        value: str = self.cleaned_data["time_zone"]
        if value not in zoneinfo.available_timezones():
            raise forms.ValidationError("This is not a time zone.")
        return value


class TokenForm(forms.Form):
    LIFETIMES = [("30", "In 30 days"), ("90", "In 90 days"), ("365", "In a year"), ("", "Never")]

    name = forms.CharField(max_length=80, help_text="What the program is, such as “Website form”.")
    scopes = forms.MultipleChoiceField(
        label="What it may do",
        choices=Scope.choices,
        widget=forms.CheckboxSelectMultiple,
        help_text="Nothing else is open to it. It can never do more than you can.",
        error_messages={"required": "Choose what the token may do."},
    )
    lifetime = forms.ChoiceField(label="Expires", choices=LIFETIMES, initial="365", required=False)

    def expires_at(self) -> datetime | None:
        days = self.cleaned_data["lifetime"]
        return timezone.now() + timedelta(days=int(days)) if days else None


class NewTenantForm(forms.Form):
    name = forms.CharField(max_length=120)
    domain = forms.CharField(max_length=253, help_text="The host name its people will open, such as acme.example.com.")
    admin_email = forms.EmailField(label="Owner's e-mail")
    admin_password = forms.CharField(
        label="Owner's password",
        required=False,
        widget=forms.PasswordInput,
        help_text="Only for a person who has no account yet.",
    )

    def clean_admin_password(self) -> str | None:
        password: str = self.cleaned_data["admin_password"]
        if password:
            validate_password(password)
        return password or None
