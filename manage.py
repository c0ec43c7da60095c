#!/usr/bin/env python
"""Django's command line, and `serve`. Starts the embedded PostgreSQL and Redis when no others are configured."""

import os
import sys

# These only read code, so they must not wait for a database.
WITHOUT_SERVICES = {"help", "version", "check", "check_deploy", "collectstatic", "spectacular"}


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "thanos.settings.dev")
    if not os.environ["DJANGO_SETTINGS_MODULE"].endswith(".prod"):
        from thanos.env import generate_secrets, state_dir_from_environment

        generate_secrets(state_dir_from_environment())
    command = sys.argv[1] if len(sys.argv) > 1 else "help"
    if command == "serve":  # decides what the settings will be, so it runs before Django reads them
        from thanos.launcher import main as serve

        sys.exit(serve(sys.argv[2:]))
    execute(needs_services=command not in WITHOUT_SERVICES)


def execute(*, needs_services: bool) -> None:
    from thanos.embedded import lease_services

    lease = lease_services() if needs_services else None
    from django.core.management import execute_from_command_line

    try:
        execute_from_command_line(sys.argv)
    finally:
        if lease is not None:
            lease.release()


if __name__ == "__main__":
    main()
