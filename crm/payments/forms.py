from __future__ import annotations

import re

from django import forms


class ConnectForm(forms.Form):
    secret_key = forms.CharField(
        label="Secret or restricted key",
        max_length=300,
        widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
        help_text="sk_… or rk_…, from Stripe's page on API keys. A restricted key needs to read customers, subscriptions,"
        " invoices and charges, and to write customers.",
    )
    webhook_secret = forms.CharField(
        label="Signing secret of the webhook",
        max_length=300,
        required=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
        help_text="whsec_…, shown by Stripe once the webhook below is made. Without it, data is read on demand only.",
    )

    def clean_secret_key(self) -> str:
        key = str(self.cleaned_data["secret_key"]).strip()
        if not re.match(r"^(sk|rk)_[A-Za-z0-9_]+$", key):
            raise forms.ValidationError("A key begins with sk_ or rk_.")
        return key


class LinkForm(forms.Form):
    stripe_id = forms.CharField(label="Customer at Stripe", max_length=80)

    def clean_stripe_id(self) -> str:
        name = str(self.cleaned_data["stripe_id"]).strip()
        if not re.match(r"^cus_[A-Za-z0-9]+$", name):
            raise forms.ValidationError("A customer's id begins with cus_.")
        return name
