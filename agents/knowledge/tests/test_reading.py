from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from agents.knowledge.reading.blocks import LONGEST, Block, UnreadableError, pack, tidy
from agents.knowledge.reading.reader import read_document
from agents.knowledge.tests import files


def read(data: bytes | str, suffix: str):
    return whole(data, suffix).passages


def whole(data: bytes | str, suffix: str):
    return read_document(data.encode() if isinstance(data, str) else data, suffix=suffix)


def test_markdown_keeps_the_path_of_headings():
    text = "# Care\n\nWash cold.\n\n## Wool\n\nNever *hot*.\n\n- by hand\n- lying\n\n# Returns\n\nThirty days."
    assert [(part.heading, part.text) for part in read(text, "md")] == [
        ("Care", "Wash cold."),
        ("Care › Wool", "Never hot.\nby hand\nlying"),
        ("Returns", "Thirty days."),
    ]


def test_html_without_what_nobody_reads():
    page = (
        "<html><head><title>T</title><style>x{}</style></head><body><nav>Home</nav><h1>Hours</h1><script>evil()</script>"
        "<div>Open <b>daily</b><p>From nine.</p> to six</div><table><tr><th>Day</th><td>Mon</td></tr></table></body></html>"
    )
    assert [(part.heading, part.text) for part in read(page, "html")] == [
        ("Hours", "Open daily\nFrom nine.\nto six\nDay | Mon")
    ]


def test_word_with_headings_and_tables():
    assert [(part.heading, part.text) for part in read(files.docx(), "docx")] == [
        ("Prices", "A wash costs twelve euros."),
        ("Prices › Members", "Members pay nine.\nWax | 20\nPolish | 35"),
    ]


def test_pdf_by_page():
    assert [(part.place, part.text) for part in read(files.pdf("First page here.", "Second one."), "pdf")] == [
        ("page 1", "First page here.\nSecond one.")
    ]
    long = "word " * 300
    assert [part.place for part in read(files.pdf(long, long), "pdf")] == ["page 1", "page 1", "page 2", "page 2"]


def test_csv_rows_carry_their_columns_names():
    parts = read("Article;Price\nTea;4\nCake;5\n", "csv")
    assert [(part.place, part.text) for part in parts] == [
        ("row 2", "Article: Tea\nPrice: 4"),
        ("row 3", "Article: Cake\nPrice: 5"),
    ]


def test_text_in_old_encodings():
    assert read("Grüße".encode("cp1252"), "txt")[0].text == "Grüße"
    assert read("Grüße".encode("utf-16"), "txt")[0].text == "Grüße"


@pytest.mark.parametrize(
    ("data", "suffix", "why"),
    [
        (b"%PDF-1.4 broken", "pdf", "damaged"),
        (files.pdf("", ""), "pdf", "pictures of text"),
        (b"not a zip", "docx", "not a Word document"),
        (b"x", "exe", "cannot be read"),
    ],
)
def test_what_cannot_be_read_says_why(data, suffix, why):
    with pytest.raises(UnreadableError, match=why):
        read(data, suffix)


def test_a_document_that_unpacks_to_far_more_is_not_opened():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("word/document.xml", b"0" * (201 * 1024 * 1024))
    with pytest.raises(UnreadableError, match="far larger"):
        read(buffer.getvalue(), "docx")


def test_entities_of_a_word_document_are_not_expanded():
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(files.docx())) as source, zipfile.ZipFile(buffer, "w") as target:
        for entry in source.infolist():
            body = source.read(entry)
            if entry.filename == "word/document.xml":
                body = body.replace(
                    b"<w:document", b'<!DOCTYPE d [<!ENTITY f SYSTEM "file:///etc/hostname">]><w:document', 1
                ).replace(b"A wash costs twelve euros.", b"&f;")
            target.writestr(entry, body)
    host = Path("/etc/hostname").read_text().strip()
    try:
        texts = " ".join(part.text for part in read(buffer.getvalue(), "docx"))
    except UnreadableError:
        return
    assert host not in texts


def test_endless_nesting_ends():
    try:
        parts = read("<div>" * 20_000 + "deep" + "</div>" * 20_000, "html")
    except UnreadableError as error:
        assert "nested" in str(error)
    else:
        assert [part.text for part in parts] in ([], ["deep"])


def test_short_blocks_are_joined_and_long_ones_cut_at_sentences():
    sentence = "This is a sentence of some length that says nothing in particular. "
    parts = pack([Block(sentence * 40, "H"), Block("Short."), Block("Alone.", whole=True), Block("After.")])
    assert all(len(part.text) <= LONGEST for part in parts)
    assert all(part.text.endswith(".") for part in parts)
    assert [part.text for part in parts[-3:]] == ["Short.", "Alone.", "After."]
    assert pack([Block("x" * 5000)])[0].text == "x" * 700
    assert pack([Block(" \n ")]) == []


def test_what_no_database_keeps_is_dropped():
    assert tidy("a\0b \ud800 c\u00a0 d\n\n\n\ne") == "ab � c d\n\ne"
