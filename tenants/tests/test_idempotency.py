"""A POST sent twice, at once, after a crash, with another body, by somebody else."""

import threading
from datetime import timedelta

import psycopg
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import OperationalError, connection
from django.utils import timezone
from rest_framework import exceptions, serializers, viewsets
from rest_framework.response import Response
from rest_framework.test import APIRequestFactory, force_authenticate

from tenants import idempotency
from tenants.enums import AuditAction, Scope
from tenants.idempotency import IdempotentCreateMixin, idempotent
from tenants.models import AuditEvent, IdempotentRequest, Membership
from tenants.services.tokens import create_token
from tenants.tasks import sweep_idempotency_keys


class NoteSerializer(serializers.ModelSerializer):
    class Meta:
        model = AuditEvent
        fields = ["id", "target", "at"]

    def create(self, values):
        return AuditEvent.objects.create(action=AuditAction.LINE_CHANGED, **values)


class Notes(IdempotentCreateMixin, viewsets.GenericViewSet):
    """What a room of the API looks like, with faults on demand."""

    serializer_class = NoteSerializer
    queryset = AuditEvent.objects.all()
    required_scopes = {"write": Scope.CONTACTS_WRITE}
    throttle_classes = []

    def get_success_headers(self, data):
        return {"Location": f"/notes/{data['id']}/"}

    @idempotent
    def unlucky(self, request):
        AuditEvent.objects.create(action=AuditAction.LINE_CHANGED, target="unlucky")
        match request.data["fault"]:
            case "raised":
                raise exceptions.ValidationError({"target": ["Not today."]})
            case "crash":
                raise RuntimeError("a fault of ours")
            case "bad gateway":
                return Response({"detail": "Try later."}, 503)
            case "refused":
                return Response({"detail": "Half of it was done."}, 409)
            case callback:
                return Response({"detail": callback()})


class Upload(viewsets.ViewSet):
    throttle_classes = []

    @idempotent
    def create(self, request):
        return Response({"read": request.data["file"].read().decode()}, 201)


def request_for(tenant, data, key, **options):
    headers = {"Idempotency-Key": key} if key is not None else {}
    request = APIRequestFactory().post(options.pop("path", "/notes/"), data, headers=headers, **options)
    request.tenant = tenant
    return request


@pytest.fixture
def post(alice, owner):
    def send(data, key="k1", *, tenant=alice, user=owner, token=None, action="create", view=Notes, **options):
        request = request_for(tenant, data, key, **{"format": "json", **options})
        force_authenticate(request, user, token)
        response = view.as_view({"post": action})(request)
        response.render()
        return response

    return send


def notes():
    return AuditEvent.objects.filter(action=AuditAction.LINE_CHANGED)


# --- the same again --------------------------------------------------------------------------------------------------


def test_without_a_key_everything_is_done_each_time(post):
    assert [post({"target": "a"}, None).status_code for _ in range(2)] == [201, 201]
    assert (notes().count(), IdempotentRequest.objects.count()) == (2, 0)


def test_the_same_request_is_answered_as_the_first_time(post):
    first, second = post({"target": "a"}), post({"target": "a"})

    assert (first.status_code, first.content) == (second.status_code, second.content) == (201, first.content)
    assert first["Location"] == second["Location"] == f"/notes/{notes().get().pk}/"
    assert ("Idempotent-Replayed" in first, second["Idempotent-Replayed"]) == (False, "true")


def test_the_order_of_a_bodys_fields_does_not_matter(post):
    post({"target": "a", "more": 1})

    assert post({"more": 1, "target": "a"})["Idempotent-Replayed"] == "true"


@pytest.mark.parametrize(
    "other",
    [
        {"data": {"target": "b"}},
        {"data": {"target": "a", "more": None}},
        {"path": "/notes/?notify=no"},
        {"path": "/tasks/"},
    ],
)
def test_a_key_used_for_another_request_is_refused(post, other):
    post({"target": "a"})

    response = post(other.pop("data", {"target": "a"}), **other)

    assert (response.status_code, response.data["detail"].code) == (422, "key_reused")
    assert notes().count() == 1


def test_a_key_is_its_senders_own(post, alice, bob, owner, admin, stranger):
    Membership.objects.create(tenant=bob, user=owner, role="owner")
    actor = Membership.objects.get(tenant=alice, user=owner)
    token, _ = create_token(tenant=alice, name="T", scopes=["contacts:write"], actor=actor)

    answers = [
        post({"target": "a"}),
        post({"target": "a"}, user=admin),
        post({"target": "a"}, token=token),
        post({"target": "a"}, tenant=bob),
        post({"target": "a"}, tenant=bob, user=stranger),
    ]

    assert len({answer.data["id"] for answer in answers}) == 5
    assert not any("Idempotent-Replayed" in answer for answer in answers)


@pytest.mark.parametrize("key", ["", "x" * 256, "tab\there", "caf\xe9", "nul\0"])
def test_a_malformed_key_is_refused(post, key):
    response = post({"target": "a"}, key)

    assert (response.status_code, list(response.data)) == (400, ["Idempotency-Key"])
    assert notes().count() == 0


@pytest.mark.parametrize("key", ["x" * 255, "two words", '"8e03978e-40d5-43dd-bc93-6894a57f9324"'])
def test_any_printable_key_will_do(post, key):
    assert post({"target": "a"}, key).status_code == post({"target": "a"}, key).status_code == 201


def test_somebody_who_may_not_is_told_so_and_not_what_was_answered(post, member):
    post({"target": "a"})

    assert post({"target": "a"}, user=member).status_code == 403


def test_files_count_by_what_is_in_them_and_are_whole_afterwards(post):
    def upload(text):
        file = SimpleUploadedFile("rows.csv", text.encode())
        return post({"file": file, "mode": "update"}, view=Upload, format="multipart")

    first, again, other = upload("a,b"), upload("a,b"), upload("a,c")

    assert first.data == again.data == {"read": "a,b"}
    assert (again["Idempotent-Replayed"], other.status_code) == ("true", 422)


def test_a_body_that_cannot_be_read_is_a_bad_request(post):
    response = post("{", content_type="application/json", format=None)

    assert response.status_code == 400
    assert not IdempotentRequest.objects.exists()


# --- when it goes wrong ----------------------------------------------------------------------------------------------


def test_after_an_error_nothing_has_happened_and_the_key_is_free(post):
    assert post({"fault": "raised"}, action="unlucky").status_code == 400
    with pytest.raises(RuntimeError):
        post({"fault": "crash"}, action="unlucky")
    assert post({"fault": "bad gateway"}, action="unlucky").status_code == 503

    assert (notes().count(), IdempotentRequest.objects.count()) == (0, 0)
    assert post({"target": "a"}).status_code == 201


def test_an_answer_that_was_given_is_kept_even_when_it_is_a_refusal(post):
    answers = [post({"fault": "refused"}, action="unlucky") for _ in range(2)]

    assert [answer.status_code for answer in answers] == [409, 409]
    assert (notes().count(), answers[1]["Idempotent-Replayed"]) == (1, "true")


class Elsewhere(threading.Thread):
    """A request on a connection of its own, which commits; it stops inside the handler until it is let go."""

    def __init__(self, post):
        super().__init__(daemon=True)
        self.inside, self.go = threading.Event(), threading.Event()
        self.post, self.backend, self.response, self.error = post, None, None, None

    def handler(self):
        self.backend = connection.connection.info.backend_pid
        self.inside.set()
        self.go.wait(20)
        connection.cursor().execute("SELECT 1")
        return "done"

    def run(self):
        try:
            self.response = self.post({"fault": self.handler}, action="unlucky")
        except OperationalError as error:
            self.error = error
        finally:
            connection.close()


@pytest.fixture
def elsewhere(post, monkeypatch):
    # The body would be a callable, which is not JSON: the view gets it as it is.
    monkeypatch.setattr(idempotency, "fingerprint_of", lambda request: "f" * 64)
    monkeypatch.setattr("rest_framework.request.Request.data", property(lambda request: request._request.body_given))

    def send(data, key="shared", **options):
        request = request_for(options.pop("tenant"), {}, key, format="json")
        request.body_given = data
        force_authenticate(request, options.pop("user"))
        return Notes.as_view({"post": "unlucky"})(request)

    started = []

    def start(**options):
        thread = Elsewhere(lambda data, action: send(data, **options))
        started.append(thread)
        thread.start()
        assert thread.inside.wait(20)
        return thread

    start.send = send
    yield start
    for thread in started:
        thread.go.set()
        thread.join(20)
    with psycopg.connect(_address(), autocommit=True) as cleaner:
        cleaner.execute("DELETE FROM tenants_auditevent WHERE target = 'unlucky'")
        cleaner.execute("DELETE FROM tenants_idempotentrequest WHERE key = 'shared'")


def _address():
    given = connection.settings_dict
    return psycopg.conninfo.make_conninfo(
        host=given["HOST"], user=given["USER"] or None, password=given["PASSWORD"] or None, dbname=given["NAME"]
    )


def test_while_a_request_is_at_work_the_same_one_is_told_to_wait(elsewhere, alice, owner, admin):
    first = elsewhere(tenant=alice, user=owner)

    meanwhile = elsewhere.send({"fault": "refused"}, tenant=alice, user=owner)
    somebody_else = elsewhere.send({"fault": "refused"}, tenant=alice, user=admin)
    first.go.set()
    first.join(20)
    afterwards = elsewhere.send({"fault": "refused"}, tenant=alice, user=owner)

    assert (meanwhile.status_code, meanwhile["Retry-After"]) == (409, "1")
    assert meanwhile.data["detail"].code == "still_running"
    assert "Idempotent-Replayed" not in somebody_else
    assert (first.response.data, afterwards.data) == ({"detail": "done"}, {"detail": "done"})
    assert afterwards["Idempotent-Replayed"] == "true"


def test_a_process_killed_at_work_leaves_neither_the_thing_nor_the_key(elsewhere, alice, owner):
    first = elsewhere(tenant=alice, user=owner)

    with psycopg.connect(_address(), autocommit=True) as server:
        server.execute("SELECT pg_terminate_backend(%s, 5000)", [first.backend])
    first.go.set()
    first.join(20)

    assert first.error is not None
    assert (notes().count(), IdempotentRequest.objects.count()) == (0, 0)
    again = elsewhere.send({"fault": lambda: "done at last"}, tenant=alice, user=owner)
    assert (again.data, "Idempotent-Replayed" in again) == ({"detail": "done at last"}, False)


# --- what is kept, and for how long ----------------------------------------------------------------------------------


def test_answers_are_not_readable_in_the_database(post):
    post({"target": "Mrs Secret"})

    with connection.cursor() as cursor:
        cursor.execute("SELECT answer, fingerprint, key, principal FROM tenants_idempotentrequest")
        assert "Secret" not in str(cursor.fetchall())


def test_a_key_is_forgotten_after_a_day(post):
    post({"target": "a"})
    IdempotentRequest.objects.update(created_at=timezone.now() - timedelta(hours=24))

    assert "Idempotent-Replayed" not in post({"target": "b"})
    assert notes().count() == 2


def test_old_keys_are_swept(post):
    post({"target": "a"}, "old")
    IdempotentRequest.objects.update(created_at=timezone.now() - timedelta(hours=24))
    post({"target": "a"}, "new")

    sweep_idempotency_keys.apply()

    assert [row.key for row in IdempotentRequest.objects.all()] == ["new"]
