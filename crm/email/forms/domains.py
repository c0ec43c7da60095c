from __future__ import annotations

from django import forms

from crm.email.domainnames import LONGEST_INPUT


class DomainForm(forms.Form):
    """Whether it may be used is the service's to say; it tells the field."""

    domain = forms.CharField(
        max_length=LONGEST_INPUT,
        label="Domain",
        widget=forms.TextInput(
            attrs={"placeholder": "acme.com", "autocomplete": "off", "autocapitalize": "none", "spellcheck": "false"}
        ),
        help_text="Yours, and one whose DNS records you, or somebody you can ask, can change.",
    )
