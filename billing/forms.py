from __future__ import annotations

from django import forms

from billing.models import Budget


class BudgetForm(forms.ModelForm):  # type: ignore[type-arg]
    class Meta:
        model = Budget
        fields = [
            "daily",
            "weekly",
            "monthly",
            "per_call",
            "never_cuts_off",
            "expected_call_s",
            "info_percent",
            "warning_percent",
            "critical_percent",
            "emergency_percent",
        ]

    SECTIONS = (
        (
            "Limits",
            "Empty: no limit. Once a limit is reached, new calls get what their line says.",
            ("daily", "weekly", "monthly", "per_call"),
        ),
        (
            "Calls that run",
            "At the warning the agent is told to hurry, at critical to come to an end, at emergency the call ends at once.",
            ("never_cuts_off", "expected_call_s"),
        ),
        (
            "Levels",
            "In per cent of a limit. Each is told once a period: here, by e-mail and to your webhooks.",
            ("info_percent", "warning_percent", "critical_percent", "emergency_percent"),
        ),
    )

    def sections(self) -> list[dict[str, object]]:
        return [
            {"title": title, "about": about, "fields": [self[name] for name in names]}
            for title, about, names in self.SECTIONS
        ]
