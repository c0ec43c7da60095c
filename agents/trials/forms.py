from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import forms

from agents.models import AgentVersion
from agents.trials.scenario import MAX_LENGTH

EXAMPLE = """name: Opening hours
agent: receptionist
caller:
  says:
    - When are you open on Saturdays?
    - Thank you, goodbye.
expect:
  - says: Saturday
  - tool: end_call
  - turns_at_most: 3
"""


class ScenarioForm(forms.Form):
    text = forms.CharField(
        max_length=MAX_LENGTH,
        initial=EXAMPLE,
        strip=False,
        label="Scenario",
        widget=forms.Textarea(attrs={"rows": 22, "class": "code", "spellcheck": "false"}),
        help_text="YAML. The caller `says` sentences, or a model `plays` somebody. Expect words, tools, turns or time.",
    )


class RunForm(forms.Form):
    versions = forms.MultipleChoiceField(widget=forms.CheckboxSelectMultiple)
    repeat = forms.IntegerField(min_value=1, max_value=20, initial=3, label="Runs of each version")

    def __init__(self, *args: Any, versions: Sequence[AgentVersion], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._versions = {str(version.pk): version for version in versions}
        field: Any = self.fields["versions"]
        field.choices = [
            (pk, f"Version {one.number}, {one.get_state_display().lower()}") for pk, one in self._versions.items()
        ]
        if not versions:
            field.required = False
            field.widget = forms.MultipleHiddenInput()
        field.initial = [pk for pk, one in self._versions.items() if one.is_draft or one.state == "published"]

    def chosen(self) -> list[AgentVersion | None]:
        """Return the versions that were ticked; the scenario's own prompt where there are none."""
        if not self._versions:
            return [None]
        return [self._versions[pk] for pk in self.cleaned_data["versions"]]
