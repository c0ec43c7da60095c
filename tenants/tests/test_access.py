"""Every page, for everybody who might ask for it."""

import pytest
from django.test import Client

from telephony.models import Call, Line, Recording
from telephony.tests.factories import add_message, make_finished_call
from tenants.context import entered
from tenants.enums import AuditAction
from tenants.models import AuditEvent, Tenant

MEMBERS = ["/", "/calls/", "/calls/test/", "/organisations/", "{call}", "{call}status/"]
MANAGERS = ["/settings/lines/", "{line}", "/settings/people/", "/settings/organisation/", "/settings/audit/"]
POSTS = ["{call}hang-up/", "{call}say/", "/settings/people/invite/"]


@pytest.fixture
def paths(alice):
    with entered(alice):
        call = make_finished_call()
        add_message(call, 1, "user", "Hello there.")
        line = Line.objects.get(is_default=True)
        return lambda path: path.format(call=call.get_absolute_url(), line=line.get_absolute_url())


@pytest.mark.parametrize("path", MEMBERS + MANAGERS)
def test_nobody_is_sent_to_the_sign_in(paths, visit, path):
    response = visit().get(paths(path))

    assert (response.status_code, response["Location"].split("?")[0]) == (302, "/accounts/login/")


@pytest.mark.parametrize("path", MEMBERS + MANAGERS)
def test_a_stranger_sees_nothing(paths, visit, stranger, path):
    assert visit(stranger).get(paths(path)).status_code == 404


@pytest.mark.parametrize("path", MEMBERS)
def test_a_member_sees_what_members_see(paths, visit, member, path):
    assert visit(member).get(paths(path)).status_code == 200


@pytest.mark.parametrize("path", MANAGERS)
def test_a_member_may_not_see_what_managers_see(paths, visit, member, path):
    assert visit(member).get(paths(path)).status_code == 403


@pytest.mark.parametrize("path", MEMBERS + MANAGERS)
def test_an_admin_sees_everything(paths, visit, admin, path):
    assert visit(admin).get(paths(path)).status_code == 200


@pytest.mark.parametrize("path", POSTS)
def test_what_changes_something_is_not_for_get_nor_for_members_nor_strangers(paths, visit, member, stranger, path):
    assert visit(member).get(paths(path)).status_code == 405
    assert visit(member).post(paths(path)).status_code == 403
    assert visit(stranger).post(paths(path)).status_code == 404
    assert visit().post(paths(path)).status_code == 302


def test_a_member_has_no_link_to_what_is_forbidden(paths, visit, member):
    assert b"/settings/" not in visit(member).get("/").content


@pytest.mark.parametrize("host", ["unknown.test", "alice.test.evil.test", "127.0.0.2"])
def test_an_unknown_host_is_nobodys(alice, host):
    assert Client(headers={"host": host}).get("/").status_code == 404


def test_a_tenant_switched_off_is_gone_for_its_people_at_once(visit, owner, alice):
    session = visit(owner)
    assert session.get("/").status_code == 200

    Tenant.objects.filter(pk=alice.pk).update(is_active=False)

    assert session.get("/").status_code == 404


def test_the_public_domain_has_no_tenant_pages(visit, owner):
    session = visit(owner, host="public.test")

    assert session.get("/calls/").status_code == 404
    assert session.get("/").status_code == 200


@pytest.mark.parametrize("path", ["/admin/", "/admin/live/", "/admin/live/numbers/", "/admin/tenants/tenant/"])
def test_the_staff_pages_are_for_staff_on_the_public_domain(visit, owner, path):
    assert visit(owner, host="public.test").get(path).status_code == 302
    assert visit(owner, host="alice.test").get(path).status_code == 404

    owner.is_staff = owner.is_superuser = True
    owner.save()
    assert visit(owner, host="public.test").get(path).status_code == 200


def test_numbers_are_whole_for_managers_and_masked_for_members(paths, visit, owner, member):
    path = paths("{call}")

    assert "+15557001" in visit(owner).get(path).content.decode()
    page = visit(member).get(path).content.decode()
    assert "+15557001" not in page
    assert "+1••••001" in page


def test_looking_at_a_call_is_written_down(paths, visit, member):
    visit(member).get(paths("{call}"))

    event = AuditEvent.objects.get(action=AuditAction.CALL_VIEWED)
    assert (event.actor, event.tenant.name) == (member, "Alice's")


def test_a_recording_is_for_managers_and_playing_it_is_written_down(alice, visit, owner, member, settings):
    from django.core.files.base import ContentFile
    from django.core.files.storage import default_storage

    from thanos.encryption import encrypt

    with entered(alice):
        call = make_finished_call()
        name = default_storage.save(f"{alice.schema_name}/recordings/RE1.wav.sealed", ContentFile(encrypt(b"RIFF sound")))
        recording = Recording.objects.create(call=call, recording_sid="RE1", status="stored", file_name=name)
    path = f"{call.get_absolute_url()}recordings/{recording.pk}/"

    assert visit(member).get(path).status_code == 403
    response = visit(owner).get(path)
    assert (response.content, response["Content-Type"]) == (b"RIFF sound", "audio/wav")
    assert "no-store" in response["Cache-Control"]
    assert AuditEvent.objects.filter(action=AuditAction.RECORDING_PLAYED, actor=owner).exists()


def test_another_tenants_call_does_not_exist_here(alice, bob, visit, owner):
    with entered(bob):
        his = make_finished_call()

    assert visit(owner).get(his.get_absolute_url()).status_code == 404
    with entered(alice):
        assert not Call.objects.exists()
