import pytest
from cryptography.fernet import Fernet
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from telephony.models import Call, CallMessage
from telephony.tests.factories import add_message, make_call, make_finished_call
from tenants.context import entered
from thanos import encryption
from thanos.encryption import DecryptionError, blind_index, blind_indexes, blind_words, decrypt, encrypt, is_current
from thanos.env import environment


@pytest.fixture
def keys(monkeypatch):
    """Use these keys from now on."""

    def use(*new: str) -> None:
        monkeypatch.setattr(environment(), "field_encryption_keys", list(new))

    return use


def test_what_is_encrypted_can_be_read_and_differs_each_time():
    assert decrypt(encrypt(b"secret")) == b"secret"
    assert encrypt(b"secret") != encrypt(b"secret")


def test_an_older_key_still_reads(keys):
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    keys(old)
    token = encrypt(b"secret")

    keys(new, old)
    assert decrypt(token) == b"secret"
    assert not is_current(token)
    assert is_current(encrypt(b"secret"))

    keys(new)
    with pytest.raises(DecryptionError):
        decrypt(token)


def test_a_blind_index_finds_equal_values_however_they_are_written():
    assert blind_index("+1555 0100 ") == blind_index("+15550100")
    assert blind_index("+15550100") != blind_index("+15550101")
    assert blind_index("") == ""
    assert "5550100" not in blind_index("+15550100")


def test_words_are_indexed_whole_and_without_case():
    assert set(blind_words("Hello, HELLO world")) == set(blind_words("world hello"))
    assert not set(blind_words("Mephisto")) & set(blind_words("Mephistos"))


def test_an_encrypted_field_cannot_be_filtered_by_accident(in_alice):
    with pytest.raises(TypeError, match="blind index"):
        Call.objects.filter(from_number="+15557001").exists()


def test_numbers_are_not_readable_in_the_database(in_alice):
    make_call(from_number="+15557001")

    with connection.cursor() as cursor:
        cursor.execute("SELECT c::text FROM telephony_call c")
        (row,) = cursor.fetchone()

    assert "5557001" not in row


def test_rotating_brings_everything_under_the_first_key(alice, bob, keys):
    old = environment().field_encryption_keys[0]
    for tenant, word in ((alice, "Mephisto"), (bob, "Behemoth")):
        with entered(tenant):
            add_message(make_finished_call(summary=f"About {word}."), 1, "user", f"My cat is {word}.")
    new = Fernet.generate_key().decode()
    keys(new, old)
    with entered(alice):
        assert list(Call.objects.with_number("+15557001")) == list(Call.objects.all())  # found under the old key

    call_command("rotate_keys", verbosity=0)
    keys(new)

    for tenant, word in ((alice, "Mephisto"), (bob, "Behemoth")):
        with entered(tenant):
            call = Call.objects.get()
            assert (call.summary, call.from_number) == (f"About {word}.", "+15557001")
            assert CallMessage.objects.get().text == f"My cat is {word}."
            assert list(Call.objects.with_number("+15557001")) == [call]
            assert list(Call.objects.with_words(word)) == [call]


def test_whatever_is_sealed_is_rotated(alice, keys):
    from agents.connected.models import HttpTool
    from billing.models import StripeEvent
    from crm.payments.models import StripeConnection
    from thanos.rotation import sealed_models

    old = environment().field_encryption_keys[0]
    with entered(alice):
        StripeConnection.objects.create(secret_key="sk_test_x", token="t", account_id="acct_1")
    StripeEvent.objects.create(event_id="evt_1", type="x", created=timezone.now(), payload={"a": 1})
    new = Fernet.generate_key().decode()
    keys(new, old)
    call_command("rotate_keys", verbosity=0)
    keys(new)

    with entered(alice):
        assert StripeConnection.objects.get().secret_key == "sk_test_x"
    assert StripeEvent.objects.get().payload == {"a": 1}
    assert HttpTool in sealed_models(shared=False) and StripeEvent in sealed_models(shared=True)


def test_rotating_twice_writes_nothing_the_second_time(alice):
    from thanos.rotation import rotate_everything

    with entered(alice):
        make_finished_call()

    assert sum(rotate_everything().values()) == 0


def test_look_ups_try_every_key(keys):
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    keys(old)
    stored = blind_index("+15550100")
    keys(new, old)

    assert stored in blind_indexes("+15550100")
    assert blind_index("+15550100") != stored
    assert encryption.blind_indexes("") == []
