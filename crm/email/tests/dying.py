"""A worker that is killed at a step of its work: `python -m crm.email.tests.dying STEP SCHEMA MAILING`."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any, NoReturn


def die(*_: Any, **__: Any) -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("a killed process goes on")


def after(function: Any) -> Any:
    def call(*args: Any, **kwargs: Any) -> None:
        function(*args, **kwargs)
        die()

    return call


def arm(step: str) -> None:
    from crm.email.providers.sendgrid import SendGrid
    from crm.email.services import applying, claiming, preparing, sending, settling

    match step:
        case "preparing":  # in the transaction that writes the messages
            preparing.EmailMessage.objects.bulk_create = after(preparing.EmailMessage.objects.bulk_create)
        case "prepared":  # a piece of them
            preparing._prepare_chunk = after(preparing._prepare_chunk)
        case "applying":  # in the transaction that draws the consequences of news
            applying.draw_consequences = after(applying.draw_consequences)
        case "applied":  # a piece of it
            applying._apply_piece = after(applying._apply_piece)
        case "claiming":  # in the transaction of the claim
            claiming._claim = after(claiming._claim)
        case "claimed":
            sending.drop_unwanted = die
        case "rendered":
            sending.begin_request = die
        case "begun":  # written down, and not a byte sent
            SendGrid.send = die  # type: ignore[method-assign]
        case "accepted":  # the provider has it, and nobody here knows
            SendGrid.send = after(SendGrid.send)  # type: ignore[method-assign]
        case "settling":  # in the transaction that writes the answer down
            settling._log_later = die
        case "settled":
            sending.settle = after(sending.settle)
        case _:
            raise ValueError(step)


def main(step: str, schema: str, mailing: str) -> None:
    import django

    django.setup()
    from crm.email.services.applying import apply_events
    from crm.email.services.preparing import prepare_mailing
    from crm.email.services.sending import send_mailing
    from tenants.context import entered_schema

    arm(step)
    with entered_schema(schema):
        if step in ("preparing", "prepared"):
            prepare_mailing(mailing_id=int(mailing), chunk=2)
        elif step in ("applying", "applied"):
            apply_events(chunk=5)
        else:
            send_mailing(mailing_id=int(mailing))


if __name__ == "__main__":
    main(*sys.argv[1:])
