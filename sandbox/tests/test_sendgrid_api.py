"""The e-mail stand-in over its sockets: what a client meets, and the signed news that follows."""

import base64

import httpx
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from sandbox.sendgrid.faults import Fault, Kind
from sandbox.sendgrid.webhook import SIGNATURE, TIMESTAMP, Trouble
from sandbox.tests.letters import letter, send


def told(providers):
    return [event for post in providers.events() for event in post.events()]


def test_a_message_is_accepted_and_delivered(client, providers, mail):
    answer = send(client, "ann@x.test", categories=["mailing-7"], custom_args={"thanos_tenant": "alice"})

    assert (answer.status_code, answer.content) == (202, b"")
    events = told(providers)
    assert [event["event"] for event in events] == ["processed", "delivered"]
    assert {event["sg_message_id"].split(".")[0] for event in events} == {answer.headers["X-Message-Id"]}
    assert {(event["thanos_message"], event["thanos_tenant"]) for event in events} == {("m-ann@x.test", "alice")}
    assert events[0]["category"] == ["mailing-7"]
    assert len({event["sg_event_id"] for event in events}) == 2


def test_a_wrong_key_is_refused_and_nothing_is_sent(client, mail):
    answer = client.post("/v3/mail/send", json=letter("ann@x.test"), headers={"Authorization": "Bearer SG.other"})

    assert answer.status_code == 401
    assert answer.json()["errors"][0]["message"].startswith("The provided authorization grant")
    assert (mail.accepted, mail.answers) == (0, {401: 1})


def test_whoever_is_not_verified_may_not_send(client, mail):
    answer = send(client, "ann@x.test", **{"from": {"email": "me@stranger.test"}})

    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (403, "from")
    assert mail.accepted == 0


def test_a_personalization_may_not_send_from_elsewhere_either(client):
    body = letter("ann@x.test", "bea@x.test")
    body["personalizations"][1]["from"] = {"email": "me@stranger.test"}

    answer = client.post("/v3/mail/send", json=body)

    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (403, "personalizations.1.from")


def test_complaints_name_the_field(client):
    answer = send(client, "ann@x.test", "nobody")

    assert answer.status_code == 400
    (error,) = answer.json()["errors"]
    assert error["field"] == "personalizations.1.to.0.email"
    assert error["help"].endswith("#message.personalizations.to.email")


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [(b"{", "application/json", 400), (b"{}", "text/plain", 415), (b" " * 30_000_000, "application/json", 413)],
    ids=["not JSON", "wrong type", "too large"],
)
def test_bodies_that_are_no_message(client, content, kind, status):
    assert client.post("/v3/mail/send", content=content, headers={"Content-Type": kind}).status_code == status


def test_sandbox_mode_checks_only(client, providers, mail):
    answer = send(client, "ann@x.test", mail_settings={"sandbox_mode": {"enable": True}})

    assert (answer.status_code, mail.accepted, told(providers)) == (200, 0, [])


def test_a_batch_must_have_been_given_out(client):
    made = client.post("/v3/mail/batch").json()["batch_id"]

    assert send(client, "ann@x.test", batch_id=made).status_code == 202
    assert send(client, "ann@x.test", batch_id="made-up").status_code == 400


# --- news ------------------------------------------------------------------------------------------------------------


def is_signed(post, public_key, body=None):
    key = serialization.load_der_public_key(base64.b64decode(public_key))
    content = post.headers[TIMESTAMP].encode() + (post.body if body is None else body)
    try:
        key.verify(base64.b64decode(post.headers[SIGNATURE]), content, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True


def test_news_is_signed_over_the_raw_body(client, providers, mail):
    send(client, "ann@x.test")
    (post,) = providers.events()

    assert post.body.endswith(b"]\r\n")
    assert is_signed(post, mail.public_key)
    assert not is_signed(post, mail.public_key, post.body.strip())


def test_who_bounced_is_dropped_from_then_on(client, providers, mail):
    send(client, "ann+bounce@x.test")
    first = told(providers)
    send(client, "ANN+bounce@x.test")
    second = told(providers)

    assert [(event["event"], event.get("type")) for event in first] == [("processed", None), ("bounce", "bounce")]
    assert [(event["event"], event.get("reason")) for event in second] == [("dropped", "Bounced Address")]


def test_a_block_suppresses_nobody(client, providers):
    for _ in range(2):
        send(client, "blocked@x.test")
        assert [(event["event"], event.get("type")) for event in told(providers)][1:] == [("bounce", "blocked")]


def test_a_suppression_can_be_lifted(client, providers):
    send(client, "spam@x.test")
    told(providers)
    assert client.get("/v3/suppression/spam_reports").json() == [{"email": "spam@x.test"}]

    assert client.delete("/v3/suppression/spam_reports/spam@x.test").status_code == 204
    assert client.delete("/v3/suppression/spam_reports/spam@x.test").status_code == 404
    send(client, "spam@x.test")

    assert told(providers)[0]["event"] == "processed"


def test_opens_and_clicks_are_told_unless_the_sender_would_rather_not_know(client, providers):
    send(client, "click@x.test")
    events = told(providers)
    off = {"enable": False}
    send(client, "click@x.test", tracking_settings={"click_tracking": off, "open_tracking": off})
    quiet = told(providers)

    assert [event["event"] for event in events] == ["processed", "delivered", "open", "click"]
    assert events[-1]["url"] == "https://shop.example/a?b=1&c=2"
    assert [event["event"] for event in quiet] == ["processed", "delivered"]


def test_a_late_bounce_has_no_message_id(client, providers):
    send(client, "latebounce@x.test")

    last = told(providers)[-1]

    assert (last["event"], last["thanos_message"]) == ("bounce", "m-latebounce@x.test")
    assert "sg_message_id" not in last


def test_a_thousand_messages_make_two_thousand_events_in_batches(client, providers, mail):
    people = [f"c{number}@x.test" for number in range(1000)]

    assert send(client, *people).status_code == 202
    posts = providers.events()

    assert max(len(post.events()) for post in posts) <= 500
    assert sum(len(post.events()) for post in posts) == 2000
    assert (mail.accepted, mail.recipients) == (1, 1000)
    assert set(mail.sends_per_address.values()) == {1}
    assert mail.sends_per_argument("thanos_message")["m-c7@x.test"] == 1


def test_disorder_on_order(client, providers, mail):
    mail.webhook.trouble = Trouble(shuffle=True, duplicate=True, lose_events=["processed"])
    people = [f"c{number}@x.test" for number in range(20)]
    send(client, *people)

    posts = providers.events()

    events = [event for post in posts for event in post.events()]
    assert len(events) == 40
    assert len({event["sg_event_id"] for event in events}) == 20
    assert [event["email"] for event in events[:20]] != people


def test_news_can_be_held_back(client, providers, mail):
    mail.webhook.trouble.hold = True
    send(client, "ann@x.test")
    assert providers.events() == []

    mail.webhook.trouble.hold = False

    assert len(told(providers)) == 2


# --- faults ----------------------------------------------------------------------------------------------------------


def test_too_many_requests_say_when_to_come_back(client, mail):
    mail.faults.order(Fault(Kind.STATUS, status=429, after_s=30))

    answer = send(client, "ann@x.test")

    assert answer.status_code == 429
    assert int(answer.headers["X-RateLimit-Reset"]) > 1_700_000_000
    assert send(client, "ann@x.test").status_code == 202


@pytest.mark.parametrize("status", [401, 403, 500, 503])
def test_a_refusal_accepts_nothing(client, mail, status):
    mail.faults.order(Fault(Kind.STATUS, status=status))

    assert (send(client, "ann@x.test").status_code, mail.accepted) == (status, 0)


def test_a_refusal_can_name_a_field(client, mail):
    mail.faults.order(Fault(Kind.INVALID, field="personalizations.3.to.0.email"))

    answer = send(client, "ann@x.test")

    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "personalizations.3.to.0.email")


def test_no_answer_although_it_was_accepted(client, mail):
    mail.faults.order(Fault(Kind.HANG))
    with pytest.raises(httpx.ReadTimeout):
        client.post("/v3/mail/send", json=letter("ann@x.test"), timeout=0.2)

    mail.faults.order(Fault(Kind.DROP))
    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
        send(client, "bea@x.test")

    assert mail.sends_per_address == {"ann@x.test": 1, "bea@x.test": 1}


def test_a_connection_that_breaks_before_anything_was_accepted(client, mail):
    mail.faults.order(Fault(Kind.BREAK))

    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
        send(client, "ann@x.test")

    assert mail.accepted == 0


def test_nobody_listens_while_it_is_away(client, providers, mail):
    with providers.away(), pytest.raises(httpx.ConnectError):
        httpx.post(f"{providers.url}/v3/mail/send", json=letter("ann@x.test"), timeout=1)

    assert send(client, "ann@x.test").status_code == 202


def test_every_third_request_and_other_paths(client, mail):
    mail.faults.order(Fault(Kind.STATUS, every=3, times=2))
    mail.faults.order(Fault(Kind.STATUS, status=500, path="/v3/whitelabel/domains"))

    assert [send(client, "ann@x.test").status_code for _ in range(7)] == [202, 202, 503, 202, 202, 503, 202]
    assert client.get("/v3/whitelabel/domains/1").status_code == 500


# --- domains ---------------------------------------------------------------------------------------------------------


def test_a_domain_is_registered_validated_and_may_then_be_sent_from(client, mail):
    made = client.post("/v3/whitelabel/domains", json={"domain": "Acme.test", "subdomain": "em7"})
    assert made.status_code == 201
    number, dns = made.json()["id"], made.json()["dns"]
    assert dns["mail_cname"]["host"] == "em7.acme.test"
    assert {record["type"] for record in dns.values()} == {"cname"}
    check = f"/v3/whitelabel/domains/{number}/validate"

    before = client.post(check)
    client.post("/sandbox/mail/domains/acme.test/records", json={"valid": ["dkim1"]})
    partly = client.post(check).json()
    refused = send(client, "ann@x.test", **{"from": {"email": "news@acme.test"}})
    client.post("/sandbox/mail/domains/acme.test/records", json={"valid": True})
    wholly = client.post(check).json()
    taken = send(client, "ann@x.test", **{"from": {"email": "news@acme.test"}})

    assert (before.status_code, before.json()["valid"]) == (200, False)
    results = partly["validation_results"]
    assert (results["dkim1"], results["dkim2"]["valid"]) == ({"valid": True, "reason": None}, False)
    assert results["dkim2"]["reason"].startswith("Expected CNAME")
    assert (refused.status_code, wholly["valid"], taken.status_code) == (403, True, 202)
    assert client.get(f"/v3/whitelabel/domains/{number}").json()["valid"] is True


def test_a_domain_is_registered_once_and_can_be_removed(client):
    number = client.post("/v3/whitelabel/domains", json={"domain": "acme.test"}).json()["id"]

    again = client.post("/v3/whitelabel/domains", json={"domain": "ACME.test"})
    listed = client.get("/v3/whitelabel/domains", params={"domain": "acme.test"}).json()
    removed = [client.delete(f"/v3/whitelabel/domains/{number}").status_code for _ in range(2)]

    assert again.status_code == 400
    assert again.json()["errors"][0]["message"] == "An authenticated domain already exists for this URL."
    assert [one["id"] for one in listed] == [number]
    assert removed == [204, 404]
    assert client.post(f"/v3/whitelabel/domains/{number}/validate").status_code == 404


@pytest.mark.parametrize("name", ["", "nodots", "has space.test", None, 7])
def test_what_is_no_domain(client, name):
    assert client.post("/v3/whitelabel/domains", json={"domain": name}).status_code == 400


def test_records_published_beforehand_and_lost_later(client):
    client.post("/sandbox/mail/domains/acme.test/records", json={"valid": True})
    number = client.post("/v3/whitelabel/domains", json={"domain": "acme.test"}).json()["id"]
    check = f"/v3/whitelabel/domains/{number}/validate"

    assert client.post(check).json()["valid"] is True
    client.post("/sandbox/mail/domains/acme.test/records", json={"valid": False})
    assert client.post(check).json()["valid"] is False


def test_text_records_for_whoever_wants_no_cnames(client):
    dns = client.post("/v3/whitelabel/domains", json={"domain": "acme.test", "automatic_security": False}).json()["dns"]

    assert [record["type"] for record in dns.values()] == ["mx", "txt", "txt", "txt"]
