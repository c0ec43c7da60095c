"""How text messages forget a person: conversations go, a wish stays as an index nobody can read."""

from __future__ import annotations

from django.db.models import Q

from crm.erasing import Person, register
from telephony.texting.models import ConsentEvent, Conversation, Message
from thanos.encryption import blind_indexes


def erase_texts(person: Person) -> dict[str, int]:
    indexes = [index for number in person.numbers for index in blind_indexes(number)]
    found = Conversation.objects.filter(Q(contact__in=person.contact_ids) | Q(other_index__in=indexes))
    ids = list(found.values_list("pk", flat=True))
    others = list(found.values_list("other_index", flat=True))
    texts = Message.objects.filter(conversation__in=ids)
    wishes = ConsentEvent.objects.filter(Q(number_index__in=[*indexes, *others]) | Q(message__in=texts))
    # The index stays: who asked for silence keeps it, also from whoever enters the number again.
    blanked = wishes.update(number="", words="", message=None)
    count = texts.count()
    Conversation.objects.filter(pk__in=ids).update(last_message=None)
    Message.objects.filter(conversation__in=ids).delete()
    Conversation.objects.filter(pk__in=ids).delete()
    return {"text conversations": len(ids), "text messages": count, "wishes about text messages": blanked}


register("texts", erase_texts)
