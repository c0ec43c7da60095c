from __future__ import annotations

from django import forms

from agents.chat.services.conversations import MAX_CHARACTERS


class MessageForm(forms.Form):
    text = forms.CharField(
        max_length=MAX_CHARACTERS,
        label="Message",
        widget=forms.Textarea(attrs={"rows": 2, "data-send-on-enter": "", "autocomplete": "off"}),
    )
