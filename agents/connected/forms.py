from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

from django import forms

from agents.connected.models import HttpTool, McpServer, check_parameters
from agents.connected.requests import REFUSED_HEADERS
from base.jsontext import JSONTextError, decode

MAX_JSON = 64 * 1024  # bytes
HIDDEN = "••••••"  # what stands for a secret that is kept


class HeadersField(forms.CharField):
    """`Name: value`, one a line. Values that are kept are never shown again; left as dots they stay."""

    widget = forms.Textarea

    def __init__(self, *, kept: dict[str, str] | None = None, **kwargs: Any) -> None:
        super().__init__(required=False, **kwargs)
        self.kept = kept or {}

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(f"{name}: {HIDDEN}" for name in value) if isinstance(value, dict) else value

    def to_python(self, value: Any) -> Any:
        found: dict[str, str] = {}
        for line in (value or "").splitlines():
            if not line.strip():
                continue
            name, colon, text = line.partition(":")
            name, text = name.strip(), text.strip()
            if not colon or not name.isascii() or not name.replace("-", "").replace("_", "").isalnum():
                raise forms.ValidationError(f"“{line.strip()[:60]}”: write a header's name, a colon, and its value.")
            if name.lower() in REFUSED_HEADERS:
                raise forms.ValidationError(f"{name} is set by the request itself. Leave it out.")
            if name.lower() in {one.lower() for one in found}:
                raise forms.ValidationError(f"{name} is there twice.")
            if text == HIDDEN and name not in self.kept:
                raise forms.ValidationError(f"Write the value of {name}: none is kept.")
            if text != HIDDEN and not (text.isascii() and text.isprintable()):
                raise forms.ValidationError(f"The value of {name} holds characters that no header can have.")
            found[name] = self.kept[name] if text == HIDDEN else text
        return found


class ParametersField(forms.CharField):
    widget = forms.Textarea

    def prepare_value(self, value: Any) -> Any:
        return json.dumps(value, indent=2, ensure_ascii=False) if isinstance(value, dict) else value

    def to_python(self, value: Any) -> Any:
        try:
            return decode(value or "{}", max_bytes=MAX_JSON)
        except JSONTextError as error:
            raise forms.ValidationError(str(error)) from None


EXAMPLE = {
    "type": "object",
    "properties": {"article": {"type": "string", "description": "The article's number, such as A-100."}},
    "required": ["article"],
    "additionalProperties": False,
}


class AddressForm(forms.ModelForm):  # type: ignore[type-arg]
    """An address and its secret headers: kept values go to the host they were given for, and to no other."""

    def clean(self) -> dict[str, Any] | None:
        cleaned = super().clean()
        before, now = self.initial.get("url", ""), (cleaned or {}).get("url", "")
        if self.instance.pk and now and origin(before) != origin(now) and HIDDEN in self.data.get("headers", ""):
            self.add_error("headers", "The address leads to another host now: write the values again.")
        return cleaned


def origin(url: str) -> tuple[str, str]:
    """Return where an address leads, without its path: what secrets are meant for."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "", url
    return parts.scheme.lower(), parts.netloc.lower().rpartition("@")[2]


class HttpToolForm(AddressForm):
    url = forms.CharField(
        label="Address",
        max_length=1000,
        help_text="https, reachable from the internet. A parameter in braces, as in …/stock/{article}, is filled in.",
    )
    headers = HeadersField(help_text="Such as Authorization: Bearer …, one a line. Kept encrypted and never shown again.")
    parameters = ParametersField(
        validators=[check_parameters], help_text="JSON Schema of an object: what the agent has to give.", initial=EXAMPLE
    )

    class Meta:
        model = HttpTool
        fields = [
            "name",
            "description",
            "method",
            "url",
            "headers",
            "parameters",
            "is_irreversible",
            "time_limit_s",
            "max_characters",
            "is_active",
        ]
        widgets = {"description": forms.Textarea(attrs={"rows": 2})}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["headers"].kept = dict(self.instance.headers)  # type: ignore[attr-defined]
        self.fields["headers"].widget.attrs["rows"] = 2
        self.fields["parameters"].widget.attrs |= {"rows": 10, "class": "code"}


class McpServerForm(AddressForm):
    url = forms.CharField(label="Address", max_length=1000, help_text="Of its Streamable HTTP endpoint, often …/mcp.")
    headers = HeadersField(help_text="Such as Authorization: Bearer …, one a line. Kept encrypted and never shown again.")

    class Meta:
        model = McpServer
        fields = ["name", "url", "headers", "time_limit_s", "is_active"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["headers"].kept = dict(self.instance.headers)  # type: ignore[attr-defined]
        self.fields["headers"].widget.attrs["rows"] = 2


class TryForm(forms.Form):
    arguments = ParametersField(required=False, label="Arguments", help_text="As the agent would give them.")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["arguments"].widget.attrs |= {"rows": 5, "class": "code"}


def sample(parameters: dict[str, Any]) -> dict[str, Any]:
    """Return arguments to begin a trial with: an empty value of each parameter's kind."""
    empty = {"string": "", "integer": 0, "number": 0, "boolean": False, "array": [], "object": {}}
    properties = parameters.get("properties") or {}
    return {
        name: about.get("default", empty.get(str(about.get("type")), "")) if isinstance(about, dict) else ""
        for name, about in properties.items()
    }
