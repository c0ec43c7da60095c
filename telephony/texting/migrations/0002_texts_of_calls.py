"""Texts that agents sent in calls become messages of conversations."""

from django.db import migrations

from thanos.encryption import blind_index

STATES = {"sending": "uncertain", "sent": "sent", "refused": "failed", "uncertain": "uncertain"}


def move(apps, schema_editor):
    conversations = apps.get_model("telephony_texting", "Conversation").objects
    messages = apps.get_model("telephony_texting", "Message").objects
    for old in apps.get_model("telephony", "TextMessage").objects.select_related("call").order_by("created_at").iterator():
        call = old.call
        conversation, _ = conversations.get_or_create(
            own_number=call.to_number,
            other_index=blind_index(call.from_number),
            defaults={"other": call.from_number, "contact_id": call.contact_id, "last_at": old.created_at},
        )
        message = messages.create(
            conversation=conversation,
            way="out",
            author="agent",
            call_id=call.pk,
            key=f"call:{call.pk}:{old.key}",
            text=old.text,
            state=STATES[old.state],
            message_sid=old.message_sid,
            created_at=old.created_at,
            claimed_at=old.created_at,
            changed_at=old.created_at,
            logged_at=old.created_at,  # their entries on the timeline are there
        )
        conversations.filter(pk=conversation.pk).update(last_message=message, last_at=old.created_at)


class Migration(migrations.Migration):

    dependencies = [
        ('telephony', '0005_budgets_in_calls'),
        ('telephony_texting', '0001_conversations'),
    ]

    operations = [migrations.RunPython(move, migrations.RunPython.noop)]
