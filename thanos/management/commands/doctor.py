"""Say what is missing or wrong in the configuration, each with its cure. Exit 1 when a call could not be answered."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand

from thanos.diagnosis import diagnose


class Command(BaseCommand):
    help = __doc__ or ""

    def handle(self, *args: Any, **options: Any) -> None:
        findings = diagnose()
        for finding in findings:
            self.stdout.write(f"{'STOPS CALLS' if finding.stops_calls else 'note'}: {finding.text}\n    {finding.cure}")
        if any(finding.stops_calls for finding in findings):
            sys.exit(1)
        self.stdout.write("A call can be answered.")
