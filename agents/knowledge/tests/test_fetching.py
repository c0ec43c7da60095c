"""A document cannot make the server fetch anything, nor read its files: neither from the network nor from the disk."""

from __future__ import annotations

import io
import socket
import threading
import zipfile
from collections.abc import Iterator

import pytest

from agents.knowledge.reading.blocks import UnreadableError
from agents.knowledge.reading.reader import read_document
from agents.knowledge.tests import files


@pytest.fixture
def visits() -> Iterator[tuple[str, list[bytes]]]:
    """An address of this machine, and what asked for anything there."""
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.settimeout(1)
                    asked.append(connection.recv(200))
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n<!ENTITY e 'no'>")

        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}", asked
        server.shutdown(socket.SHUT_RDWR)


def xml_page(url: str, path: str) -> bytes:
    return (
        f'<?xml version="1.0"?><?xml-stylesheet href="{url}/style.xsl" type="text/xsl"?>'
        f'<!DOCTYPE html SYSTEM "{url}/page.dtd" [<!ENTITY file SYSTEM "file://{path}"><!ENTITY net SYSTEM "{url}/e">'
        f'<!ENTITY % more SYSTEM "{url}/p"> %more;]><html xmlns:xi="http://www.w3.org/2001/XInclude"><head>'
        f'<link rel=stylesheet href="{url}/a.css"><base href="{url}/"><meta http-equiv=refresh content="0;url={url}/r">'
        f'</head><body><p>Text &file; &net;</p><img src="{url}/i.png"><iframe src="{url}/f"></iframe>'
        f'<xi:include href="file://{path}" parse="text"/><object data="{url}/o"></object><p>End</p></body></html>'
    ).encode()


def word(url: str, path: str) -> bytes:
    """Return a Word document with entities in two parts, and relations that point outside."""
    doctype = f'<!DOCTYPE d [<!ENTITY file SYSTEM "file://{path}"><!ENTITY net SYSTEM "{url}/e">]>'.encode()
    relation = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    outside = "".join(
        f'<Relationship Id="out{kind}" Type="{relation}/{kind}" Target="{target}" TargetMode="External"/>'
        for kind, target in (("image", f"{url}/i"), ("attachedTemplate", f"{url}/t"), ("footnotes", f"file://{path}"))
    )
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(files.docx())) as source, zipfile.ZipFile(buffer, "w") as target:
        for entry in source.infolist():
            body = source.read(entry)
            if entry.filename == "word/document.xml":
                body = body.replace(b"<w:document", doctype + b"<w:document", 1)
                body = body.replace(b"A wash costs twelve euros.", b"Text &file; &net;")
            if entry.filename == "word/_rels/document.xml.rels":
                body = body.replace(b"</Relationships>", outside.encode() + b"</Relationships>")
            target.writestr(entry, body)
    return buffer.getvalue()


def pdf(url: str, path: str) -> bytes:
    """Return a PDF that opens an address, and whose page's text and form lie outside."""
    action = f"/OpenAction << /S /URI /URI ({url}/open) >> /AcroForm << /XFA (<x href='{url}/x'/>) >>"
    made = files.pdf("Text of the page.").decode("latin-1")
    made = made.replace("/Type /Catalog", f"/Type /Catalog {action}")
    outside = f"/F << /FS /URL /F ({url}/content) >> /FFilter /FlateDecode"
    return made.replace("<< /Length", f"<< {outside} /Length", 1).encode("latin-1")


@pytest.mark.parametrize(
    ("suffix", "make"),
    [("html", xml_page), ("xhtml", xml_page), ("md", xml_page), ("docx", word), ("pdf", pdf)],
)
def test_no_document_fetches_anything(suffix, make, visits, tmp_path):
    url, asked = visits
    secret = tmp_path / "secret.txt"
    secret.write_text("the-secret-of-this-machine")
    try:
        reading = read_document(make(url, str(secret)), suffix=suffix)
    except UnreadableError:
        text = ""
    else:
        text = "\n".join(f"{part.heading} {part.text}" for part in reading.passages)
        assert "Text" in text
    assert "the-secret" not in text
    assert asked == []


def test_the_listener_would_notice(visits):
    url, asked = visits
    with socket.create_connection(("127.0.0.1", int(url.rsplit(":", 1)[1]))) as client:
        client.sendall(b"GET /")
        client.recv(100)
    assert asked == [b"GET /"]


def test_entities_that_grow_without_end_are_not_expanded():
    bomb = "<!DOCTYPE d [<!ENTITY a 'aaaaaaaaaa'>" + "".join(
        f"<!ENTITY {new} '{f'&{old};' * 10}'>" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
    )
    try:
        reading = read_document(f"{bomb}]><html><p>Text &i;</p></html>".encode(), suffix="html")
    except UnreadableError:
        return
    assert sum(len(part.text) for part in reading.passages) < 10_000
