"""The outbox a developer reads e-mail in, what a recipient can do there, and answers that go back to the product."""

import asyncio
import email.parser
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from sandbox.sendgrid.account import KEPT_RECIPIENTS, MailAccount
from sandbox.sendgrid.replies import reply
from sandbox.tests.letters import letter, send

OUTBOX = "/sandbox/mail"
HTML = '<p>Dear -name-</p><a href="https://shop.example/">Shop</a>'


@pytest.fixture
def product():
    """Whatever the product has: it takes every POST and keeps it."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            server.seen.append((self.path, self.headers, body))
            self.send_response(server.answers.pop(0) if server.answers else 204)
            self.end_headers()
            server.taken.set()

        def log_message(self, *arguments):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    server.seen, server.answers, server.taken = [], [], threading.Event()
    server.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def page_of(client, copy):
    return f"{OUTBOX}/messages/{copy.key}"


def happened(copy):
    return [event for event, _, _ in copy.events]


def came_of(copy, event):
    """Return what is noted of the newest event of a kind; others may have happened since, by themselves."""
    return [detail for kind, _, detail in copy.events if kind == event][-1]


def test_an_empty_outbox_says_what_to_do(client):
    answer = client.get(OUTBOX)

    assert "No e-mail yet" in answer.text
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


def test_messages_are_listed_newest_first_and_found_by_address(client):
    for name in ("ann", "bea", "cyd"):
        send(client, f"{name}@x.test", subject=f"For {name}")

    everything = client.get(OUTBOX).text
    found = client.get(OUTBOX, params={"q": "BEA@"}).text

    assert everything.index("For cyd") < everything.index("For bea") < everything.index("For ann")
    assert ("For bea" in found, "For ann" in found) == (True, False)
    assert "Nothing was sent to" in client.get(OUTBOX, params={"q": "nobody"}).text


def test_the_list_shows_what_says_most(client, providers, mail):
    send(client, "spam@x.test")
    providers.events()
    client.get(f"{page_of(client, mail.to('spam@x.test'))}/open.gif")

    shown = client.get(OUTBOX).text

    assert ("Reported as spam</span>" in shown, "Opened</span>" in shown) == (True, False)


def test_a_long_list_has_pages(client):
    send(client, *[f"c{number}@x.test" for number in range(60)])

    first, second = (client.get(OUTBOX, params={"page": page}).text for page in (1, 2))

    assert ("c59@" in first, "c9@" in first, "Older" in first, "Newer" in first) == (True, False, True, False)
    assert ("c9@" in second, "c59@" in second, "Older" in second, "Newer" in second) == (True, False, False, True)
    assert "c59@" in client.get(OUTBOX, params={"page": "x"}).text


def test_a_message_as_its_recipient_sees_it(client, mail):
    body = letter(
        "ann@x.test", content=[{"type": "text/plain", "value": "Dear -name-"}, {"type": "text/html", "value": HTML}]
    )
    body["personalizations"][0] |= {
        "to": [{"email": "ann@x.test", "name": "Ann <b>"}],
        "substitutions": {"-name-": "<script>alert(1)</script>"},
        "headers": {"List-Unsubscribe": "<https://u.example/1>"},
    }
    client.post("/v3/mail/send", json=body)
    page = page_of(client, mail.to("ann@x.test"))

    shown, inside = client.get(page), client.get(f"{page}/body")

    assert "Ann &lt;b&gt;" in shown.text
    assert "<script>" not in shown.text
    assert "https://u.example/1" in shown.text
    assert f'src="{page}/body"' in shown.text
    assert inside.headers["Content-Security-Policy"].startswith("sandbox allow-popups")
    assert "allow-scripts" not in inside.headers["Content-Security-Policy"] + shown.text
    assert f'href="{page}/click/0"' in inside.text


def test_looking_and_clicking_are_told(client, providers, mail):
    send(client, "ann@x.test", content=[{"type": "text/html", "value": HTML}])
    providers.events()
    page = page_of(client, mail.to("ann@x.test"))

    pixel = client.get(f"{page}/open.gif", headers={"User-Agent": "Reader/1"})
    click = client.get(f"{page}/click/0")
    events = [event for post in providers.events() for event in post.events()]

    assert (pixel.headers["Content-Type"], "max-age" in pixel.headers["Cache-Control"]) == ("image/gif", True)
    assert (click.status_code, click.headers["Location"]) == (302, "https://shop.example/")
    assert [(event["event"], event["useragent"][:6]) for event in events][0] == ("open", "Reader")
    assert (events[1]["event"], events[1]["url"]) == ("click", "https://shop.example/")
    assert client.get(f"{page}/click/1").status_code == 404


@pytest.mark.parametrize(
    ("action", "event"),
    [("open", "open"), ("click", "click"), ("bounce", "bounce"), ("spam", "spamreport"), ("unsubscribe", "unsubscribe")],
)
def test_buttons_let_things_happen(client, providers, mail, action, event):
    send(client, "ann@x.test")
    providers.events()
    page = page_of(client, mail.to("ann@x.test"))

    answer = client.post(f"{page}/{action}")

    assert (answer.status_code, answer.headers["Location"]) == (303, page)
    assert [told["event"] for post in providers.events() for told in post.events()] == [event]


def test_another_site_may_not_press_them(client, mail):
    send(client, "ann@x.test")
    copy = mail.to("ann@x.test")

    answer = client.post(f"{page_of(client, copy)}/spam", headers={"Sec-Fetch-Site": "cross-site"})

    assert answer.status_code == 403
    assert "spamreport" not in happened(copy)


@pytest.mark.parametrize("path", ["", "/body", "/open.gif", "/click/0"])
def test_what_is_not_there(client, path):
    assert client.get(f"{OUTBOX}/messages/none.0{path}").status_code == 404


def test_an_unknown_action_does_nothing(client, mail):
    send(client, "ann@x.test")

    assert client.post(f"{page_of(client, mail.to('ann@x.test'))}/explode").status_code == 404


# --- recipients who write back ---------------------------------------------------------------------------------------


def test_one_click_is_a_post_to_the_message_s_own_address(client, providers, mail, product):
    headers = {
        "List-Unsubscribe": f"<{product.url}/mail/u/tok>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
    }
    send(client, "ann@x.test", headers=headers)
    copy = mail.to("ann@x.test")

    client.post(f"{page_of(client, copy)}/one-click")
    providers.events()

    ((path, _, body),) = product.seen
    assert (path, body) == ("/mail/u/tok", b"List-Unsubscribe=One-Click")
    assert "one-click" in happened(copy)


def parse(headers, body):
    """Return the fields of a multipart form."""
    message = email.parser.BytesParser().parsebytes(f"Content-Type: {headers['Content-Type']}\r\n\r\n".encode() + body)
    return {
        part.get_param("name", header="content-disposition"): part.get_payload(decode=True).decode()
        for part in message.get_payload()
    }


def test_a_reply_is_posted_as_the_vendor_does(client, mail, product):
    mail.inbound_url = f"{product.url}/in/secret"
    people = [{"to": [{"email": "ann@x.test", "name": "Ann Müller"}]}]
    text = [{"type": "text/plain", "value": "First\nSecond"}]
    answers = [{"email": "r+tok@replies.test"}, {"email": "shop@acme.test"}]
    body = letter(personalizations=people, content=text, reply_to_list=answers)
    client.post("/v3/mail/send", json=body)
    copy = mail.to("ann@x.test")

    answer = client.post("/sandbox/mail/replies", json={"message": copy.key, "text": "Yes, please. Ümläut."})

    ((path, headers, raw),) = product.seen
    form = parse(headers, raw)
    assert (path, answer.json()) == ("/in/secret", {"outcome": "the product answered 204"})
    assert json.loads(form["envelope"]) == {"to": ["r+tok@replies.test"], "from": "ann@x.test"}
    assert form["to"] == "r+tok@replies.test, shop@acme.test"
    assert form["subject"] == "Re: Hi"
    assert form["text"].startswith("Yes, please. Ümläut.\n\nOn ")
    assert "> First\n> Second\n" in form["text"]
    assert form["dkim"] == "{@x.test : pass}"
    assert f"In-Reply-To: <{copy.posting.id}@" in form["headers"]
    assert came_of(copy, "reply") == "the product answered 204"


def test_a_reply_from_the_page_and_one_that_nobody_takes(client, providers, mail, product):
    send(client, "ann@x.test")
    copy = mail.to("ann@x.test")
    page = page_of(client, copy)

    client.post(f"{page}/reply", data={"text": "Hello"})
    assert came_of(copy, "reply") == "the product has told no address for answers"

    mail.inbound_url = f"{product.url}/in"
    product.answers = [503]
    client.post(f"{page}/reply", data={"text": "Hello"})
    assert came_of(copy, "reply") == "the product answered 503"
    mail.inbound_url = "http://127.0.0.1:1/"
    client.post(f"{page}/reply", data={"text": "Hello"})
    assert "did not answer" in came_of(copy, "reply")


def test_an_answer_of_a_machine_can_be_told_by_its_headers(client, providers, mail, product):
    mail.inbound_url = product.url
    send(client, "ann@x.test")

    providers.do(reply(mail, mail.to("ann@x.test"), text="Away", passes=False, headers={"Auto-Submitted": "auto-replied"}))

    form = parse(*product.seen[0][1:])
    assert "Auto-Submitted: auto-replied\n" in form["headers"]
    assert form["SPF"] == "softfail"


def test_a_reply_to_no_message(client):
    assert client.post("/sandbox/mail/replies", json={"message": "x.0", "text": "Hi"}).status_code == 404


# --- news over the wire ----------------------------------------------------------------------------------------------


def test_news_is_posted_again_until_it_is_taken(client, providers, mail, product):
    mail.webhook.url, mail.webhook.retry_s = f"{product.url}/api/webhooks/sendgrid", 0.001
    product.answers = [503, 500]
    send(client, "ann@x.test")

    assert providers.events() == []

    bodies = [body for _, _, body in product.seen]
    assert len(bodies) == 3
    assert len(set(bodies)) == 1
    assert (mail.webhook.posted, mail.webhook.refused, mail.webhook.given_up) == (1, 2, 0)


def test_news_that_nobody_ever_takes_is_given_up(client, providers, mail):
    mail.webhook.url, mail.webhook.retry_s = "http://127.0.0.1:1/", 0.0001
    send(client, "ann@x.test")

    providers.events()

    assert (mail.webhook.posted, mail.webhook.given_up) == (0, 1)


def test_things_happen_by_themselves_in_time(client, mail, product):
    mail.webhook.url = product.url
    send(client, "ann@x.test")

    assert product.taken.wait(5)

    events = json.loads(product.seen[0][2])
    assert events[0]["event"] == "processed"


# --- orders and memory -----------------------------------------------------------------------------------------------


def test_orders_over_http(client, mail):
    fault = {"kind": "status", "status": 429, "times": 2}
    assert client.post("/sandbox/mail/faults", json=fault).json()["status"] == 429
    assert client.post("/sandbox/mail/trouble", json={"shuffle": True, "hold": True}).json()["hold"] is True

    statuses = [send(client, "ann@x.test").status_code for _ in range(3)]

    assert statuses == [429, 429, 202]
    assert mail.webhook.trouble.shuffle
    counts = client.get("/sandbox/mail/counts").json()
    assert (counts["accepted"], counts["recipients"], counts["answers"]) == (1, 1, {"429": 2, "202": 1})
    assert client.post("/sandbox/mail/trouble", json={"hold": False}).json()["hold"] is False


def test_a_developer_publishes_records_on_the_page(client):
    number = client.post("/v3/whitelabel/domains", json={"domain": "acme.test"}).json()["id"]
    assert "acme.test" in client.get(f"{OUTBOX}/domains").text
    check = f"/v3/whitelabel/domains/{number}/validate"

    for valid, expected in (("some", [True, False, False]), ("all", [True] * 3), ("none", [False] * 3)):
        assert client.post(f"{OUTBOX}/domains/{number}", data={"valid": valid}).status_code == 303
        results = client.post(check).json()["validation_results"]
        assert [result["valid"] for result in results.values()] == expected
    assert client.post(f"{OUTBOX}/domains/1", data={"valid": "all"}).status_code == 404


def test_the_oldest_are_forgotten(monkeypatch):
    monkeypatch.setattr("sandbox.sendgrid.account.KEPT_RECIPIENTS", 5)

    async def fill():
        account = MailAccount("SG.x")
        postings = []
        for number in range(4):
            body = letter(f"silent+{number}@x.test", f"silent+{number}b@x.test")
            postings.append(account.accept(body, json.dumps(body).encode()))
        await account.close()
        return account, postings

    account, postings = asyncio.run(fill())

    assert list(account.postings) == postings[2:]
    assert account.find(f"{postings[0].id}.0") is None
    assert account.find(f"{postings[3].id}.1") is postings[3].copies[1]
    assert (account.accepted, account.recipients) == (4, 8)
    assert KEPT_RECIPIENTS == 200_000


def test_a_key_pair_of_another_process_is_used():
    from sandbox.sendgrid.webhook import load_key, new_key, private_key_of, public_key_of
    from thanos.launcher import new_signing_key

    private, public = new_signing_key()

    assert MailAccount("SG.x", signing_key=private).public_key == public
    assert public_key_of(load_key(private_key_of(key := new_key()))) == public_key_of(key)
    assert MailAccount("SG.x").public_key != MailAccount("SG.x").public_key
