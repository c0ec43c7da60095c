from __future__ import annotations

import codecs
import random

import pytest

from crm.imports.enums import FileKind
from crm.imports.errors import FileError
from crm.imports.sniffing import Sniffer, decode_sample, guess_delimiter

TEXT = "Name;Ort\r\nJosé Müller;Köln\r\nŒuvre €;Łódź\r\n"


def sniff(data: bytes, *, size: int = 7) -> Sniffer:
    sniffer = Sniffer()
    for start in range(0, len(data), size):
        sniffer.feed(data[start : start + size])
    return sniffer


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        (TEXT.encode(), "utf-8"),
        (codecs.BOM_UTF8 + TEXT.encode(), "utf-8"),
        (b"Name,City\nAnn,Bonn\n", "utf-8"),
        (codecs.BOM_UTF16_LE + TEXT.encode("utf-16-le"), "utf-16-le"),
        (codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"), "utf-16-be"),
        (TEXT.encode("utf-16-le"), "utf-16-le"),
        (TEXT.encode("utf-16-be"), "utf-16-be"),
        ("Name,Ort\nJosé €,Köln\n".encode("cp1252"), "cp1252"),
        (b"Name\nJos\xe9 \x81\x8d\n", "iso-8859-1"),
    ],
)
def test_encoding(data: bytes, encoding: str) -> None:
    sniffer = sniff(data)

    assert (sniffer.kind(), sniffer.encoding()) == (FileKind.CSV, encoding)
    assert decode_sample(sniffer.sample, encoding).startswith("Name")


def test_an_umlaut_far_down_decides_the_encoding() -> None:
    data = b"Name,City\n" + b"Ann,Bonn\n" * 50_000 + "Zoë,Köln\n".encode("cp1252")

    assert sniff(data, size=60_000).encoding() == "cp1252"


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_delimiter(delimiter: str) -> None:
    rows = [("Name", "Note", "City"), ("Ann", 'said "one, two; three"', "Bonn"), ("Ben", "a|b\tc", "Rome, Italy")]
    text = "".join(delimiter.join('"' + cell.replace('"', '""') + '"' for cell in row) + "\r\n" for row in rows)

    assert guess_delimiter(text) == delimiter


def test_delimiter_of_a_single_column_is_a_comma() -> None:
    assert guess_delimiter("Name\nAnn\nBen\n") == ","


def test_delimiter_that_excel_declares() -> None:
    assert guess_delimiter("sep=;\nName,Given;City\nLee,Ann;Bonn\n") == ";"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"MZ\x90\x00\x03\x00\x00\x00" + bytes(500), "Windows program"),
        (b"\x7fELF\x02\x01\x01" + bytes(500), "program"),
        (b"#!/bin/sh\nrm -rf /\n", "script"),
        (b"%PDF-1.7\n", "PDF"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500), "old version of Excel"),
        (b"\x1f\x8b\x08\x00" + bytes(50), "compressed"),
        (b"\x89PNG\r\n\x1a\n" + bytes(50), "picture"),
        (b"  <!DOCTYPE html><html>", "web page"),
        (b"{\\rtf1 hello}", "text document"),
        (b"BEGIN:VCARD\nVERSION:3.0\n", "vCard"),
        (bytes(random.Random(1).randbytes(5000)), "not a text file"),
    ],
)
def test_what_is_no_list_is_named(data: bytes, words: str) -> None:
    with pytest.raises(FileError, match=words):
        sniff(data, size=4096).kind()


@pytest.mark.parametrize("data", [b"MZ,Name\n1,Ann\n", b"BZh,Name\n", b"Name\nA\x00nn\x01\n" + b"Ben\n" * 100])
def test_what_only_looks_odd_is_read(data: bytes) -> None:
    assert sniff(data, size=4096).kind() == FileKind.CSV


def test_the_sniffer_holds_no_more_than_a_sample() -> None:
    sniffer = sniff(b"Ann,Bonn\n" * 100_000, size=50_000)

    assert (len(sniffer.sample), sniffer.size) == (64 * 1024, 900_000)
