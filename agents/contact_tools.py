"""What an agent may find out and note about whoever it is talking to.

A voice on the telephone proves nothing. So an agent learns about the contact the caller's number belongs to, and of
others no more than that they exist; it fills in what is not known, and what contradicts what is known becomes a note
for a person to decide. Each tool does its work once a call, however often the model asks for the same.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import date
from typing import Any

from django.db.models.functions import Lower

from agents.organisation.models import agent_settings
from agents.proving import has_proved, unproved
from agents.tools import Tool, ToolContext, ToolError, ToolOutcome, register, run_in_tenant
from base.text import to_valid_json
from crm.contactfields import FIELDS
from crm.enums import FactSource, InteractionKind
from crm.fieldtypes import FieldError, Reading
from crm.models import Contact
from crm.models.setup import crm_settings
from crm.phones import PhoneError, is_e164, to_e164
from crm.services.calls import contact_for_caller, contact_of
from crm.services.contacts import set_do_not_contact as note_wish
from crm.services.contacts import update_contact
from crm.services.interactions import add_interaction, leave_message
from tenants.models import User

Work = Callable[[ToolContext, dict[str, Any]], dict[str, Any]]
DETAILS = (
    "contact_name",
    "business_name",
    "contact_role",
    "contact_email",
    "address",
    "city",
    "state",
    "postal_code",
    "country",
)


def _key(context: ToolContext, tool: str, arguments: dict[str, Any]) -> str:
    """The same request in the same call, whatever the provider numbers it."""
    said = json.dumps([tool, arguments], sort_keys=True, ensure_ascii=False).casefold()
    return f"tool:{context.call_id}:{hashlib.sha256(said.encode()).hexdigest()[:16]}"


def _caller(context: ToolContext) -> Contact:
    """Return the caller's contact, made now if need be. Raises ToolError for somebody whose number is not known."""
    contact = _known_caller(context)
    if contact is None:
        raise ToolError("The caller's number is withheld. Use take_message with their name and a number to call back.")
    return contact


def _known_caller(context: ToolContext) -> Contact | None:
    return contact_for_caller(number=context.caller_number, create=True)


def _leave(context: ToolContext, tool: str, arguments: dict[str, Any], text: str) -> dict[str, Any]:
    """Leave what a caller without a number says to everybody here: it belongs to no contact, and is not lost."""
    phone, name = (str(arguments.get(key, "")).strip() for key in ("phone", "name"))
    leave_message(text[:5000], phone[:40], name[:200], natural_key=_key(context, tool, arguments))
    return {"ok": True, "is_for_everybody": True}


def look_up_contact(context: ToolContext, arguments: dict[str, Any]) -> dict[str, Any]:
    text = str(arguments.get("name", "")).strip()
    caller = contact_of(context.caller_number)
    is_named = caller is not None and text.casefold() in (caller.contact_name.casefold(), caller.business_name.casefold())
    if not text or is_named:
        if caller is None:
            return {"ok": True, "caller": None}
        if has_proved(context, caller, str(arguments.get("proof", ""))):
            return {"ok": True, "caller": _about(caller)}
        return {"ok": True, "caller": {"is_known": True}, **unproved(caller)}
    named = Contact.objects.live().annotate(lower_business=Lower("business_name"))
    known = any(named.filter(**rule).exists() for rule in ({"sort_name": text.lower()}, {"lower_business": text.lower()}))
    return {"ok": True, "is_known": known, "is_the_caller": False}


def _about(contact: Contact) -> dict[str, Any]:
    recent = contact.interactions.all()[:3]
    tasks = contact.interactions.open_tasks().order_by("due_on")[:5]
    return {
        "name": contact.name,
        "business": contact.business_name,
        "email": contact.contact_email,
        "city": contact.city,
        "status": contact.status,
        "is_the_caller": True,
        "wants_no_contact": contact.has_a_fact,
        "recent": [
            f"{entry.interaction_date:%Y-%m-%d} {entry.get_kind_display()} {entry.subject}".strip() for entry in recent
        ],
        "open_tasks": [f"{task.subject} (due {task.due_on or 'any time'})" for task in tasks],
    }


def save_contact_details(context: ToolContext, arguments: dict[str, Any]) -> dict[str, Any]:
    contact = _caller_or(context, str(arguments.get("phone", "")))
    wanted = _checked({name: arguments[name] for name in DETAILS if str(arguments.get(name, "")).strip()})
    placeholder = crm_settings().new_lead_name
    new = {
        name: value
        for name, value in wanted.items()
        if getattr(contact, name) in ("", value) or (name == "contact_name" and contact.contact_name == placeholder)
    }
    differing = {name: value for name, value in wanted.items() if name not in new}
    if new:
        update_contact(contact=contact, values=new, source=FactSource.CALL)
    if differing:
        lines = [f"{FIELDS[name].label}: {value} (known: {getattr(contact, name)})" for name, value in differing.items()]
        key = _key(context, "save_contact_details", differing)
        add_interaction(
            contact=contact,
            kind=InteractionKind.NOTE,
            subject="Said in a call, to be checked",
            content="\n".join(lines),
            metadata=_origin(context),
            natural_key=key,
        )
    return {"ok": True, "saved": sorted(new), "noted_for_a_person_to_check": sorted(differing)}


def _caller_or(context: ToolContext, phone: str) -> Contact:
    if is_e164(context.caller_number) or not phone:
        return _caller(context)
    try:
        number = to_e164(phone, crm_settings().phone_region)
    except PhoneError as error:
        raise ToolError(str(error)) from None
    if contact_of(number) is not None:  # somebody who hides their own number must not change another's record
        raise ToolError("That number belongs to somebody known already. Use take_message, so that a person looks at it.")
    made = contact_for_caller(number=number, create=True)
    assert made is not None  # a number in E.164 form is always made a contact
    return made


def _checked(values: dict[str, Any]) -> dict[str, Any]:
    """Raises ToolError with what is wrong, for the agent to ask again."""
    reading = Reading(region=crm_settings().phone_region)
    checked = {}
    for name, value in values.items():
        try:
            checked[name] = FIELDS[name].parse(str(value).replace("\0", ""), reading)
        except FieldError as error:
            raise ToolError(f"{FIELDS[name].label}: {error}.") from None
    return checked


def add_note(context: ToolContext, arguments: dict[str, Any]) -> dict[str, Any]:
    contact = _known_caller(context)
    if contact is None:
        return _leave(context, "add_note", arguments, str(arguments["text"]))
    add_interaction(
        contact=contact,
        kind=InteractionKind.NOTE,
        subject="",
        content=str(arguments["text"])[:5000],
        metadata=_origin(context),
        natural_key=_key(context, "add_note", arguments),
    )
    return {"ok": True}


def create_task(context: ToolContext, arguments: dict[str, Any]) -> dict[str, Any]:
    contact = _known_caller(context)
    if contact is None:
        parts = (arguments["subject"], arguments.get("details", ""), arguments.get("due_on", ""))
        return _leave(context, "create_task", arguments, "\n".join(str(part) for part in parts if part))
    try:
        due_on = date.fromisoformat(arguments["due_on"]) if arguments.get("due_on") else None
    except ValueError:
        raise ToolError("due_on must be a day such as 2026-11-20.") from None
    task = add_interaction(
        contact=contact,
        kind=InteractionKind.TASK,
        subject=str(arguments["subject"])[:200],
        content=str(arguments.get("details", ""))[:5000],
        by=User.objects.filter(pk=contact.owner_id).first() if contact.owner_id else None,
        due_on=due_on,
        metadata=_origin(context),
        natural_key=_key(context, "create_task", arguments),
    )
    return {"ok": True, "task": task.subject, "due_on": str(due_on) if due_on else None}


def take_message(context: ToolContext, arguments: dict[str, Any]) -> dict[str, Any]:
    contact = _known_caller(context)
    if contact is None:  # what they say of themselves opens and changes nobody's record
        return _leave(context, "take_message", arguments, str(arguments["message"]))
    name = str(arguments.get("name", "")).strip() or contact.name
    lines = [str(arguments["message"])]
    if phone := str(arguments.get("phone", "")).strip():
        lines.append(f"Call back: {phone}")
    add_interaction(
        contact=contact,
        kind=InteractionKind.TASK,
        subject=agent_settings().message_subject.replace("{name}", name)[:200],
        content="\n".join(lines)[:5000],
        by=User.objects.filter(pk=contact.owner_id).first() if contact.owner_id else None,
        metadata=_origin(context),
        natural_key=_key(context, "take_message", arguments),
    )
    return {"ok": True}


def set_do_not_contact(context: ToolContext, arguments: dict[str, Any]) -> dict[str, Any]:
    caller = _caller(context)
    for contact in {caller, *Contact.objects.live().with_phone(context.caller_number)}:
        note_wish(contact=contact, source=FactSource.CALL)
    return {"ok": True, "say": crm_settings().do_not_contact_text}


def _origin(context: ToolContext) -> dict[str, Any]:
    return {"from_call": context.call_id}


def _tool(
    name: str,
    description: str,
    properties: dict[str, Any],
    work: Work,
    required: tuple[str, ...] = (),
    *,
    title: str,
    summary: str,
) -> Tool:
    async def run(context: ToolContext, arguments: dict[str, Any]) -> ToolOutcome:
        return ToolOutcome(await run_in_tenant(context, work, context, to_valid_json(arguments)))

    parameters = {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}
    return register(Tool(name=name, description=description, parameters=parameters, run=run, title=title, summary=summary))


def _text(description: str, limit: int = 200) -> dict[str, Any]:
    return {"type": "string", "description": description, "maxLength": limit}


_tool(
    "look_up_contact",
    "Find out what is known of the caller. With a name: whether somebody of exactly that name is known here. When the"
    " answer says needs_proof, say the sentence in `say`, and call this again with what the caller answers as proof.",
    {
        "name": _text("The whole name of a person or a business. Leave it out to learn about the caller."),
        "proof": _text("The postal code or e-mail address the caller gives to prove who they are. Only when it is needed."),
    },
    look_up_contact,
    title="Look up the caller",
    summary="Tells the agent what your contacts say about the caller, once the caller has proved who they are.",
)
_tool(
    "save_contact_details",
    "Note down who the caller is. Give only what they have said, and repeat it to them before you save it.",
    {
        "contact_name": _text("First and last name."),
        "business_name": _text("The business they call for."),
        "contact_role": _text("What they do there.", 120),
        "contact_email": _text("E-mail address, spelled out."),
        "address": _text("Street and number."),
        "city": _text("City.", 120),
        "state": _text("State or region.", 120),
        "postal_code": _text("Postal code.", 20),
        "country": _text("Country.", 80),
        "phone": _text("A number to call back, only if the caller's own is withheld.", 40),
    },
    save_contact_details,
    title="Save contact details",
    summary="Fills in the caller's name, company, e-mail and address in your contacts.",
)
_tool(
    "add_note",
    "Write a note about the caller for the people who work here.",
    {"text": _text("What they should know.", 5000)},
    add_note,
    ("text",),
    title="Add a note",
    summary="Writes a note on the caller's timeline.",
)
_tool(
    "create_task",
    "Plan something for the people who work here to do for the caller, such as calling back.",
    {
        "subject": _text("What is to be done, in a few words."),
        "due_on": _text("The day, as 2026-11-20. Leave it out when none was agreed.", 10),
        "details": _text("What else they should know.", 5000),
    },
    create_task,
    ("subject",),
    title="Create a task",
    summary="Puts a task for your team on the caller's contact.",
)
_tool(
    "take_message",
    "Take a message for the people who work here, when nobody can be reached or the caller only wants to leave one. Repeat "
    "it to the caller before you save it.",
    {
        "name": _text("Who it is from, as they say it."),
        "message": _text("What they want to be passed on, in their words.", 4000),
        "phone": _text("A number to call back, if it is another than the one they call from.", 40),
    },
    take_message,
    ("message",),
    title="Take a message",
    summary="Passes a message on to your team as a task, also from callers who withhold their number.",
)
_tool(
    "set_do_not_contact",
    "Note that the caller does not want to be called or written to any more, whenever they say anything like it. "
    "Then tell them the sentence in `say`.",
    {},
    set_do_not_contact,
    title="Do not contact",
    summary="Marks the caller as somebody who wants no calls, texts or e-mails.",
)
