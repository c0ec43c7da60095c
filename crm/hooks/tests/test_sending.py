"""Requests over real sockets of this machine."""

from __future__ import annotations

import datetime
import ipaddress
import socket
import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from crm.hooks.addresses import read_networks
from crm.hooks.enums import Problem
from crm.hooks.sending import EXCERPT_LENGTH, look_up, send
from crm.hooks.tests.receiver import Receiver, raw_receiver

LOOPBACK = read_networks(["127.0.0.0/8"])
BODY = b'{"name":"Zo\\u00eb"}'


def post(url, *, allowed=LOOPBACK, **more):
    return send(url=url, body=BODY, headers={"Webhook-Id": "1"}, allowed=allowed, **more)


def no_look_up(host, port, timeout_s):
    raise AssertionError(f"{host} was looked up")


def finds(*addresses):
    return lambda host, port, timeout_s: list(addresses)


def test_a_body_is_posted_with_its_headers(receiver):
    outcome = post(receiver.url)

    (got,) = receiver.received
    assert (got.path, got.body) == ("/hooks?from=us", BODY)
    assert (got.headers["Host"], got.headers["Webhook-Id"]) == (f"127.0.0.1:{receiver.port}", "1")
    assert "Accept-Encoding" not in got.headers
    assert (outcome.problem, outcome.status_code, outcome.excerpt) == (Problem.NONE, 200, "thank you")
    assert outcome.is_success
    assert 0 <= outcome.duration_ms < 5000


@pytest.mark.parametrize(
    ("status", "problem"),
    [
        (201, Problem.NONE),
        (204, Problem.NONE),
        (301, Problem.REDIRECT),
        (304, Problem.REDIRECT),
        (400, Problem.STATUS),
        (404, Problem.STATUS),
        (410, Problem.GONE),
        (429, Problem.STATUS),
        (500, Problem.STATUS),
    ],
)
def test_only_a_2xx_is_a_success(receiver, status, problem):
    receiver.status, receiver.answer = status, b""

    outcome = post(receiver.url)

    assert (outcome.problem, outcome.status_code) == (problem, status)


def test_a_redirect_is_not_followed(receiver):
    receiver.status, receiver.headers = 307, {"Location": receiver.url + "&again"}

    assert post(receiver.url).problem == Problem.REDIRECT
    assert len(receiver.received) == 1


@pytest.mark.parametrize(("status", "expected"), [(429, 90.0), (503, 90.0), (500, None), (200, None)])
def test_retry_after_is_read_where_it_means_something(receiver, status, expected):
    receiver.status, receiver.headers = status, {"Retry-After": "90"}

    assert post(receiver.url).retry_after_s == expected


def test_a_long_answer_is_cut(receiver):
    receiver.answer = b"\0" + b"a" * 10_000_000

    excerpt = post(receiver.url).excerpt

    assert len(excerpt) == EXCERPT_LENGTH
    assert excerpt.startswith("\ufffda")


def test_bytes_that_are_not_text_do_not_matter(receiver):
    receiver.answer = b"\xff\xfe\x00ok"

    assert post(receiver.url).excerpt == "\ufffd\ufffd\ufffdok"


def test_an_endless_answer_ends(receiver):
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

    with raw_receiver(head, drip=b"1\r\na\r\n") as port:
        outcome = post(f"http://127.0.0.1:{port}/", timeout_s=0.3)

    assert (outcome.problem, outcome.status_code) == (Problem.NONE, 200)
    assert outcome.duration_ms < 3000


@pytest.mark.parametrize(
    ("first", "drip"),
    [(b"", b""), (b"HTTP/1.1 200 OK\r\nX: ", b"a"), (b"", b"H")],
    ids=["silent", "drips its headers", "drips its status"],
)
def test_a_receiver_that_takes_its_time_is_cut_off(first, drip):
    with raw_receiver(first, drip=drip) as port:
        outcome = post(f"http://127.0.0.1:{port}/", timeout_s=0.3)

    assert (outcome.problem, outcome.status_code) == (Problem.TIMEOUT, None)
    assert 250 <= outcome.duration_ms < 3000


@pytest.mark.parametrize("answer", [b"SSH-2.0-OpenSSH_9.6\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n"])
def test_an_answer_that_is_not_http(answer):
    with raw_receiver(answer) as port:
        assert post(f"http://127.0.0.1:{port}/", timeout_s=2).problem == Problem.PROTOCOL


def test_nobody_listens(unused_port):
    assert post(f"http://127.0.0.1:{unused_port}/").problem == Problem.CONNECTION


def test_an_https_address_that_speaks_http(receiver):
    assert post(receiver.url.replace("http:", "https:")).problem == Problem.TLS


def test_a_private_address_is_not_even_connected_to(receiver):
    outcome = post(receiver.url.replace("http:", "https:"), allowed=[])

    assert outcome.problem == Problem.FORBIDDEN_ADDRESS
    assert receiver.received == []


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "127.1", "localhost"])
def test_other_spellings_of_this_machine_are_refused_too(host):
    assert post(f"https://{host}/", allowed=[]).problem == Problem.FORBIDDEN_ADDRESS


def test_a_name_is_looked_up_once_and_its_address_used(receiver):
    asked = []

    def rebinding(host, port, timeout_s):
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["127.0.0.99"]

    outcome = post(f"http://hooks.example:{receiver.port}/", lookup=rebinding)

    assert outcome.is_success
    assert asked == ["hooks.example"]
    assert receiver.received[0].headers["Host"] == f"hooks.example:{receiver.port}"


def test_the_next_address_is_tried(receiver):
    outcome = post(f"http://hooks.example:{receiver.port}/", lookup=finds("127.0.0.77", "127.0.0.1"))

    assert outcome.is_success


def test_proxies_of_the_environment_are_not_used(receiver, monkeypatch, unused_port):
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "https_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{unused_port}")

    assert post(receiver.url).is_success


@pytest.mark.parametrize("url", ["http://user@127.0.0.1/", "nonsense", "ftp://127.0.0.1/"])
def test_an_unusable_url_that_got_in_somehow(url):
    assert post(url, lookup=no_look_up).problem == Problem.BAD_URL


def test_a_name_nobody_knows():
    assert post("https://hooks.example/", lookup=finds()).problem == Problem.UNKNOWN_HOST


def test_looking_up():
    assert look_up("localhost", 80, 5)[-1] in ("127.0.0.1", "::1")
    assert look_up("127.0.0.1", 80, 5) == ["127.0.0.1"]
    assert look_up("a..b", 80, 5) == []


def test_a_resolver_that_does_not_answer_is_given_up(monkeypatch):
    import threading

    answer = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **k: answer.wait(5) and [])

    assert look_up("hooks.example", 443, 0.05) == []
    answer.set()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """Of hooks.example, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "hooks.example")])
    now = datetime.datetime.now(datetime.UTC)
    alternatives = [x509.DNSName("hooks.example"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "certificate.pem"
    secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(secret + made.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.fixture
def secure(certificate):
    """A receiver behind TLS, and the server names it was asked for."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    asked: list[str | None] = []
    context.sni_callback = lambda sock, name, ctx: asked.append(name)
    running = Receiver(tls=context)
    yield running, asked
    running.stop()


def test_the_name_is_used_for_sni_certificate_and_host_but_not_for_connecting(secure, certificate):
    receiver, asked = secure
    trusting = ssl.create_default_context(cafile=certificate)

    outcome = post(f"https://hooks.example:{receiver.port}/in", lookup=finds("127.0.0.1"), tls=trusting)

    assert outcome.is_success
    assert asked == ["hooks.example"]
    assert receiver.received[0].headers["Host"] == f"hooks.example:{receiver.port}"


def test_a_certificate_of_another_name_is_refused(secure, certificate):
    receiver, _ = secure
    trusting = ssl.create_default_context(cafile=certificate)

    outcome = post(f"https://other.example:{receiver.port}/", lookup=finds("127.0.0.1"), tls=trusting)

    assert outcome.problem == Problem.CERTIFICATE
    assert receiver.received == []


def test_a_certificate_nobody_vouches_for_is_refused(secure):
    receiver, _ = secure

    assert post(f"https://127.0.0.1:{receiver.port}/").problem == Problem.CERTIFICATE
