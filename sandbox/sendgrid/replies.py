"""Answers of recipients, posted to the product as the vendor's Inbound Parse does it."""

from __future__ import annotations

import json
import time
import uuid
from email.utils import formataddr, formatdate, parseaddr

import aiohttp

from sandbox.sendgrid.account import MailAccount
from sandbox.sendgrid.letters import Copy, Letter


def fields_of(
    copy: Copy, letter: Letter, *, text: str, passes: bool = True, headers: dict[str, str] | None = None
) -> dict[str, str]:
    """Return the form's fields of an answer to a message. `passes`: whether DKIM and SPF do; `headers`: more of them."""
    domain = letter.to.rpartition("@")[2]
    to = letter.reply_to or letter.sender  # to all of them; the provider is handed only what is for the first one's host
    subject = letter.subject if letter.subject.lower().startswith("re:") else f"Re: {letter.subject}"
    person = formataddr((letter.to_name, letter.to))
    when = time.strftime("%a, %d %b %Y at %H:%M", time.gmtime(copy.posting.at))
    quoted = "\n".join(f"> {line}" for line in (letter.text or letter.subject).splitlines())
    lines = {
        "Message-ID": f"<{uuid.uuid4()}@{domain}>",
        "In-Reply-To": f"<{copy.posting.id}@ismtpd-sandbox>",
        "Date": formatdate(),
        "From": person,
        "To": to,
        "Subject": subject,
        **(headers or {}),
    }
    return {
        "headers": "".join(f"{name}: {value}\n" for name, value in lines.items()),
        "from": person,
        "to": to,
        "subject": subject,
        "text": f"{text}\n\nOn {when} {formataddr((letter.sender_name, letter.sender))} wrote:\n{quoted}\n",
        "dkim": f"{{@{domain} : {'pass' if passes else 'fail'}}}",
        "SPF": "pass" if passes else "softfail",
        "envelope": json.dumps({"to": [parseaddr(to.split(",")[0])[1]], "from": letter.to}),
        "charsets": json.dumps(dict.fromkeys(("to", "from", "subject", "text"), "UTF-8")),
        "sender_ip": "192.0.2.77",
        "spam_score": "0.1",
        "attachments": "0",
    }


async def reply(
    account: MailAccount, copy: Copy, *, text: str, passes: bool = True, headers: dict[str, str] | None = None
) -> str:
    """Answer a message as its recipient; return what came of it in words."""
    if not account.inbound_url:
        outcome = "the product has told no address for answers"
    else:
        form = aiohttp.FormData(default_to_multipart=True)
        for name, value in fields_of(copy, copy.letter(), text=text, passes=passes, headers=headers).items():
            form.add_field(name, value)
        try:
            async with account.webhook.session().post(account.inbound_url, data=form) as answer:
                outcome = f"the product answered {answer.status}"
        except (aiohttp.ClientError, TimeoutError) as error:
            outcome = f"the product did not answer ({type(error).__name__})"
    copy.events.append(("reply", time.time(), outcome))
    return outcome
