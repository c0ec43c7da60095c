"""Where the links of a message lead to, asked of a server of this machine."""

from __future__ import annotations

import pytest

from crm.email.services.linkcheck import MOST, check_links
from crm.hooks.tests.receiver import Receiver


@pytest.fixture
def site(settings, monkeypatch):
    monkeypatch.setattr(settings.ENV, "webhook_allowed_networks", ["127.0.0.0/8"])
    receiver = Receiver()
    yield receiver
    receiver.stop()


def words(html):
    return [finding.text for finding in check_links(html)]


def test_what_answers_is_fine(site):
    assert words(f'<p><a href="{site.url}">There</a> <a href="mailto:a@b.example">Me</a> <img src="data:,x"></p>') == []
    assert [got.method for got in site.received] == ["HEAD"]


def test_links_behind_an_xml_declaration_are_looked_at(site):
    assert words(f'<?xml version="1.0" encoding="UTF-8"?><html><body><a href="{site.url}">There</a></body></html>') == []
    assert [got.method for got in site.received] == ["HEAD"]


@pytest.mark.parametrize(("status", "is_broken"), [(404, True), (410, True), (500, True), (301, False), (403, False)])
def test_what_is_not_there_is_named(site, status, is_broken):
    site.status = status

    found = words(f'<a href="{site.url}">There</a>')

    assert found == ([f"The link {site.url} answers {status}: there is nothing."] if is_broken else [])


def test_a_large_picture_is_named(site):
    site.headers = {"Content-Length": "8000000"}

    assert words(f'<img src="{site.url}">') == [f"The picture {site.url} has 8.0 MB: on a phone that takes long."]
    assert words(f'<a href="{site.url}">x</a>') == []


def test_nobody_there(unused_port, site):
    address = f"http://127.0.0.1:{unused_port}/"

    assert words(f'<a href="{address}">x</a>') == [
        f"The link {address} cannot be reached (no connection, or it broke off)."
    ]


def test_our_own_machines_are_not_asked(site, settings, monkeypatch):
    monkeypatch.setattr(settings.ENV, "webhook_allowed_networks", [])

    found = words(f'<a href="https://127.0.0.1/">x</a><a href="{site.url}">y</a>')

    assert "not on the public internet" in found[0] and "not encrypted" in found[1]
    assert site.received == []


def test_only_so_many_are_asked(site):
    html = "".join(f'<a href="{site.url}&n={n}">x</a>' for n in range(MOST + 3))

    assert words(html) == [f"The first {MOST} addresses were looked at, 3 were not."]
    assert len(site.received) == MOST


@pytest.mark.parametrize("html", ["", "   ", "<p>No link at all", "<a href='javascript:x'>x</a><a href>y</a>"])
def test_nothing_to_look_at(html):
    assert check_links(html) == []
