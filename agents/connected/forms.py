from __future__ import annotations

import json
from typing import Any

from django import forms

from agents.connected.models import HttpTool, McpServer, check_parameters

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
            if not text.isprintable():
                raise forms.ValidationError(f"The value of {name} holds characters that no header can have.")
            found[name] = self.kept.get(name, "") if text == HIDDEN else text
        return found


class ParametersField(forms.CharField):
    widget = forms.Textarea

    def prepare_value(self, value: Any) -> Any:
        return json.dumps(value, indent=2, ensure_ascii=False) if isinstance(value, dict) else value

    def to_python(self, value: Any) -> Any:
        try:
            return json.loads(value or "{}")
        except json.JSONDecodeError as error:
            raise forms.ValidationError(f"This is not JSON: {error.msg}, line {error.lineno}.") from None


EXAMPLE = {
    "type": "object",
    "properties": {"article": {"type": "string", "description": "The article's number, such as A-100."}},
    "required": ["article"],
    "additionalProperties": False,
}


class HttpToolForm(forms.ModelForm):  # type: ignore[type-arg]
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


class McpServerForm(forms.ModelForm):  # type: ignore[type-arg]
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
    return {name: about.get("default", empty.get(about.get("type"), "")) for name, about in properties.items()}
