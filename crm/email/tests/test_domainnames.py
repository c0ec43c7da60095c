"""What people type, and what becomes of it."""

from __future__ import annotations

import json
import string
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm.email import domainnames
from crm.email.domainnames import DomainNameError, display, read_domain, registrable, short_host


@pytest.mark.parametrize(
    ("typed", "domain"),
    [
        ("acme.com", "acme.com"),
        ("  ACME.Com \n", "acme.com"),
        ("acme.com.", "acme.com"),
        ("mail.acme.com", "mail.acme.com"),
        ("acme.co.uk", "acme.co.uk"),
        ("https://acme.com", "acme.com"),
        ("HTTPS://user:secret@acme.com:8443/path?query=a@b.c#top", "acme.com"),
        ("//acme.com/x", "acme.com"),
        ("acme.com/@somebody", "acme.com"),
        ("acme.com\\about", "acme.com"),
        ("www.acme.com", "acme.com"),
        ("https://www.acme.com/", "acme.com"),
        ("www.com", "www.com"),  # registered by somebody
        ("news@acme.com", "acme.com"),
        ("@acme.com", "acme.com"),
        ("mailto:news@acme.com?subject=Hello", "acme.com"),
        ("<news@acme.com>", "acme.com"),
        ("acme.com:587", "acme.com"),
        ("ac\u200bme.com\ufeff", "acme.com"),  # what copying from a page brings along
        ("Müller.DE", "xn--mller-kva.de"),
        ("mu\u0308ller.de", "xn--mller-kva.de"),  # decomposed, as some systems type it
        ("xn--mller-kva.de", "xn--mller-kva.de"),
        ("XN--MLLER-KVA.de", "xn--mller-kva.de"),
        ("straße.de", "xn--strae-oqa.de"),  # not strasse.de, which may be somebody else's
        ("ＡＣＭＥ．com", "acme.com"),
        ("例え。jp", "xn--r8jz45g.jp"),
        ("почта.рф", "xn--80a1acny.xn--p1ai"),
        ("acme.example", "acme.example"),
        ("a" * 63 + ".com", "a" * 63 + ".com"),
        ("7-eleven.com", "7-eleven.com"),
        ("shop.notgmail.com", "shop.notgmail.com"),
    ],
)
def test_what_names_a_domain_is_understood(typed, domain):
    assert read_domain(typed) == domain
    assert read_domain(domain) == domain


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("", "Write the domain"),
        ("   ", "Write the domain"),
        ("https://", "Write the domain"),
        ("news@", "Write the domain"),
        (".", "Write the domain"),
        ("\u200b", "Write the domain"),
        ("acme", "with its ending"),
        ("localhost", "with its ending"),
        ("127.0.0.1", "address of a machine"),
        ("http://10.1.2.3:80/x", "address of a machine"),
        ("[::1]", "address of a machine"),
        ("http://[2001:db8::1]:443/", "address of a machine"),
        ("::ffff:10.0.0.1", "address of a machine"),
        ("fe80::1%eth0", "address of a machine"),
        ("10.1", "address of a machine"),
        ("acme.123", "address of a machine"),
        ("com", "with its ending"),
        ("co.uk", "co.uk is a public ending"),
        ("https://co.uk/", "public ending"),
        ("github.io", "public ending"),
        ("香港.hk".replace("香港", "公司"), "公司.hk is a public ending"),
        ("gmail.com", "you cannot prove that it is yours"),
        ("me@outlook.com", "outlook.com belongs to a mail provider"),
        ("mail.yahoo.co.uk", "yahoo.co.uk belongs to a mail provider"),
        ("gmial.com", "Did you mean gmail.com?"),
        ("acme.con", "Did you mean acme.com?"),
        ("acme.co.ogr", "Did you mean acme.co.org?"),
        ("a" * 64 + ".com", "at most 63 characters; “aaaaaaaaaaaaaaaaaaaa…”"),
        ("ü" * 62 + ".com", "at most 63 characters; a part of this one"),
        (".".join(["a" * 60] * 5) + ".com", "at most 253"),
        ("a" * 5000, "at most 253 characters"),
        ("acme..com", "Two dots in a row"),
        (".acme.com", "dot at the beginning"),
        ("-acme.com", "hyphen"),
        ("acme-.com", "hyphen"),
        ("ac me.com", "no spaces"),
        ("acme,com", "cannot contain “,”"),
        ("a_b.com", "cannot contain “_”"),
        ("☃.com", "cannot contain “☃”"),
        ("<b>x</b>.com", "cannot contain"),
        ("acme.com; drop table", "no spaces"),
        ("acme\x00.com", "characters which no domain may have"),
        ("xn--zzzzzz.com", "characters which no domain may have"),
        ("*.acme.com", "cannot contain “*”"),
        ("acme.com\r\nBcc: x@y.z", "no domain may have"),
    ],
)
def test_what_cannot_be_one_is_explained(typed, words):
    with pytest.raises(DomainNameError) as caught:
        read_domain(typed)

    assert words in str(caught.value)
    assert len(str(caught.value)) < 300


@given(st.text(max_size=60) | st.text(alphabet=string.printable + "üß。－@:[]", max_size=60))
def test_whatever_is_typed_is_a_domain_or_a_fault(typed):
    try:
        domain = read_domain(typed)
    except DomainNameError:
        return
    assert set(domain) <= set(string.ascii_lowercase + string.digits + "-.")
    assert registrable(domain) is not None
    assert read_domain(domain) == domain


def test_hostile_input_is_quick():
    registrable("acme.com")  # reads its list the first time
    began = time.process_time()

    for typed in ("a." * 499, "\u0300" * 1000, "@" * 999, "ß" * 1000, "x:" * 500, "." * 1000):
        with pytest.raises(DomainNameError):
            read_domain(typed)

    assert time.process_time() - began < 1


@pytest.mark.parametrize(
    ("host", "domain", "short"),
    [
        ("s1._domainkey.acme.com", "acme.com", "s1._domainkey"),
        ("em12.mail.acme.co.uk", "mail.acme.co.uk", "em12.mail"),
        ("acme.com", "acme.com", "@"),
        ("elsewhere.org", "acme.com", "elsewhere.org"),
        ("notacme.com", "acme.com", "notacme.com"),
    ],
)
def test_a_panel_wants_the_name_without_the_zone(host, domain, short):
    assert short_host(host, domain=domain) == short


def test_people_read_their_own_letters():
    assert display("xn--mller-kva.de") == "müller.de"
    assert display("acme.com") == "acme.com"
    assert display("xn--zzzzzz.com") == "xn--zzzzzz.com"


def test_the_lists_are_in_order():
    data = json.loads((Path(domainnames.__file__).parent / "data" / "mail_providers.json").read_text())

    assert data["providers"] == sorted(set(data["providers"]))
    assert not set(data["typos"]) & set(data["providers"])
    assert set(data["typos"].values()) <= set(data["providers"])
    assert all(registrable(name) == name for name in data["providers"])
    assert all(registrable(f"acme.{ending}") for ending in data["endings"].values())
