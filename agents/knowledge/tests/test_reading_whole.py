"""What stands in a document is read, or its page says what was not: tables, encodings, tracked changes, scans."""

from __future__ import annotations

import csv
import io
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.knowledge.reading.blocks import LONGEST, Block, UnreadableError, pack
from agents.knowledge.reading.decoding import decode
from agents.knowledge.reading.formats import READERS, read_csv, read_html
from agents.knowledge.reading.reader import read_document
from agents.knowledge.reading.tables import EMPTY, Cell, table_lines
from agents.knowledge.tests import files

PRICES = [["Service", "Mon", "Tue", "Sun"], ["Haircut", "20 EUR", "20 EUR", "30 EUR"], ["Beard", "", "15 EUR", "closed"]]
PRICE_LINES = [
    "Service: Haircut | Mon: 20 EUR | Tue: 20 EUR | Sun: 30 EUR",
    f"Service: Beard | Mon: {EMPTY} | Tue: 15 EUR | Sun: closed",
]


def read(data: bytes | str, suffix: str):
    return read_document(data.encode() if isinstance(data, str) else data, suffix=suffix)


def text_of(data: bytes | str, suffix: str) -> str:
    return "\n".join(part.text for part in read(data, suffix).passages)


def word(body: str) -> bytes:
    """Return a Word document with this body, and everything else that Word wants."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(files.docx())) as source, zipfile.ZipFile(buffer, "w") as target:
        for entry in source.infolist():
            data = source.read(entry)
            if entry.filename == "word/document.xml":
                start, end = data.index(b"<w:body>") + 8, data.index(b"<w:sectPr")
                data = data[:start] + body.encode() + data[end:]
            target.writestr(entry, data)
    return buffer.getvalue()


def paragraph(text: str) -> str:
    return f"<w:p><w:r><w:t>{text}</w:t></w:r></w:p>"


def word_table(grid: list[list[str]]) -> str:
    rows = ["".join(f"<w:tc>{paragraph(cell)}</w:tc>" for cell in row) for row in grid]
    return f"<w:tbl>{''.join(f'<w:tr>{row}</w:tr>' for row in rows)}</w:tbl>"


def html_table(grid: list[list[str]]) -> str:
    rows = ["".join(f"<td>{cell}</td>" for cell in row) for row in grid]
    return f"<table>{''.join(f'<tr>{row}</tr>' for row in rows)}</table>"


def markdown_table(grid: list[list[str]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in grid]
    return "\n".join([lines[0], "|---" * len(grid[0]) + "|", *lines[1:]])


@pytest.mark.parametrize(
    ("data", "suffix"),
    [(word(word_table(PRICES)), "docx"), (html_table(PRICES), "html"), (markdown_table(PRICES), "md")],
)
def test_each_value_of_a_table_stands_beside_its_heading(data, suffix):
    assert text_of(data, suffix).splitlines() == PRICE_LINES


def test_a_corner_without_a_heading_leaves_the_name_of_the_row_alone():
    grid = [["", "Mon", "Tue"], ["Haircut", "20 EUR", "20 EUR"]]
    assert text_of(html_table(grid), "html") == "Haircut | Mon: 20 EUR | Tue: 20 EUR"


def test_a_table_of_names_and_values_has_no_headings():
    assert text_of(html_table([["Wax", "20"], ["Polish", "35"]]), "html") == "Wax | 20\nPolish | 35"


def test_headings_over_several_columns_and_values_over_several_rows():
    page = (
        "<table><thead><tr><th rowspan=2>Room</th><th colspan=2>Summer</th></tr><tr><th>Day</th><th>Week</th></tr></thead>"
        "<tr><td>Small</td><td rowspan=2>50</td><td>300</td></tr><tr><td>Large</td><td>400</td></tr>"
        "<tr><td colspan=3>Prices with breakfast</td></tr></table>"
    )
    assert text_of(page, "html").splitlines() == [
        "Room: Small | Summer Day: 50 | Summer Week: 300",
        "Room: Large | Summer Day: 50 | Summer Week: 400",
        "Prices with breakfast",
    ]


def test_merged_cells_of_a_word_table_count_for_all_they_cover():
    span = '<w:tcPr><w:gridSpan w:val="2"/></w:tcPr>'
    down, on = '<w:tcPr><w:vMerge w:val="restart"/></w:tcPr>', "<w:tcPr><w:vMerge/></w:tcPr>"
    body = (
        f"<w:tbl><w:tr><w:tc>{paragraph('')}</w:tc><w:tc>{paragraph('Sat')}</w:tc><w:tc>{paragraph('Sun')}</w:tc></w:tr>"
        f"<w:tr><w:tc>{down}{paragraph('Pool')}</w:tc><w:tc>{span}{paragraph('9 to 5')}</w:tc></w:tr>"
        f"<w:tr><w:tc>{on}{paragraph('')}</w:tc><w:tc>{paragraph('closed')}</w:tc><w:tc>{paragraph('10')}</w:tc></w:tr></w:tbl>"
    )
    assert text_of(word(body), "docx").splitlines() == ["Pool | Sat: 9 to 5 | Sun: 9 to 5", "Pool | Sat: closed | Sun: 10"]


cells = st.text(st.characters(categories=["Lu", "Ll", "Nd"]), min_size=0, max_size=8)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(2, 5).flatmap(
        lambda width: st.lists(st.lists(cells, min_size=width, max_size=width), min_size=1, max_size=5)
    )
)
def test_any_table_keeps_each_value_beside_its_heading(rows):
    names = [f"Column{number}" for number in range(len(rows[0]))]
    grid = [[Cell(name, -1 - at, is_heading=True) for at, name in enumerate(names)]]
    grid += [[Cell(text, 100 * y + x) for x, text in enumerate(row)] for y, row in enumerate(rows)]
    kept = [row for row in rows if any(row)]
    if kept:
        read_back = [dict(fact.split(": ", 1) for fact in line.split(" | ")) for line in table_lines(grid)]
        assert read_back == [{name: text or EMPTY for name, text in zip(names, row, strict=True)} for row in kept]


def test_content_controls_and_tracked_insertions_are_read_and_deletions_are_not():
    inserted = '<w:p><w:ins w:id="1" w:author="A"><w:r><w:t>Open on Sunday.</w:t></w:r></w:ins>'
    deleted = '<w:del w:id="2" w:author="A"><w:r><w:delText>Closed on Sunday.</w:delText></w:r></w:del></w:p>'
    control = f"<w:sdt><w:sdtPr/><w:sdtContent>{paragraph('A wash costs nine euros.')}</w:sdtContent></w:sdt>"
    inline = "<w:p><w:r><w:t>Call </w:t></w:r><w:sdt><w:sdtContent><w:r><w:t>Ann</w:t></w:r></w:sdtContent></w:sdt></w:p>"
    gone = (
        '<w:tr><w:trPr><w:del w:id="3" w:author="A"/></w:trPr><w:tc><w:p><w:r><w:t>Old row</w:t></w:r></w:p></w:tc></w:tr>'
    )
    row = f"<w:tr><w:tc>{paragraph('Wax')}</w:tc><w:tc>{paragraph('20')}</w:tc></w:tr>"
    box = f"<w:p><w:r><w:pict><w:txbxContent>{paragraph('Ring twice.')}</w:txbxContent></w:pict></w:r></w:p>"
    body = (
        f"{inserted}{deleted}{control}{inline}<w:tbl><w:sdt><w:sdtContent>{row}</w:sdtContent></w:sdt>{gone}</w:tbl>{box}"
    )
    assert text_of(word(body), "docx").splitlines() == [
        "Open on Sunday.",
        "A wash costs nine euros.",
        "Call Ann",
        "Wax | 20",
        "Ring twice.",
    ]


def test_what_stands_in_a_form_is_read():
    page = "<form id=aspnetForm><h1>Hours</h1><p>Open from nine.</p><script>no()</script></form>"
    assert [(part.heading, part.text) for part in read(page, "html").passages] == [("Hours", "Open from nine.")]


@pytest.mark.parametrize("before", ["", "\ufeff", "  \n"])
def test_xhtml_with_its_declaration_is_read(before):
    page = (
        f'{before}<?xml version="1.0" encoding="UTF-8"?><!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Strict//EN" '
        '"http://www.w3.org/TR/xhtml1/DTD/xhtml1-strict.dtd"><html xmlns="http://www.w3.org/1999/xhtml"><body>'
        "<p>Delivery takes two working days, über Köln.</p></body></html>"
    )
    reading = read(page, "html")
    assert [part.text for part in reading.passages] == ["Delivery takes two working days, über Köln."]
    assert reading.warnings == []


@pytest.mark.parametrize(
    ("encoding", "declaration", "text"),
    [
        ("cp1251", '<meta http-equiv="Content-Type" content="text/html; charset=windows-1251">', "Консультация"),
        ("koi8-r", "<meta charset='koi8-r'>", "Консультация"),
        ("cp932", "<meta charset=Shift_JIS>", "返品について"),
        ("iso2022_jp", '<meta charset="iso-2022-jp">', "返品について"),
        ("gb18030", '<meta charset="gb2312">', "退款政策"),
        ("cp874", '<?xml version="1.0" encoding="tis-620"?>', "การคืนเงิน"),
        ("cp1252", '<meta charset="iso-8859-1">', "10 € – “ja”"),
        ("utf-16", "", "退款政策 Grüße"),
        ("utf-16-le", "", "Grüße an alle, die lesen"),
        ("utf-8", '<meta charset="iso-8859-1">', "Grüße, 退款"),  # valid UTF-8 is no accident
    ],
)
def test_the_encoding_a_page_declares_is_obeyed(encoding, declaration, text):
    reading = read(f"{declaration}<p>{text}</p>".encode(encoding), "html")
    assert [part.text for part in reading.passages] == [text]
    assert reading.warnings == []


def test_what_is_improbable_is_warned_of():
    russian = "Консультация врача стоит тридцать евро"
    lied = read(b"<meta charset=iso-8859-1><p>" + russian.encode("cp1251") + b"</p>", "html")
    assert "Check that they are right" in lied.warnings[0]
    guessed = read(russian.encode("cp1251"), "txt")
    assert guessed.passages[0].text == russian
    assert "windows-1251" in guessed.warnings[0]
    slip = read("Grüße an alle. ".encode() * 40 + b"\xe9", "txt")
    assert slip.passages[0].text.startswith("Grüße an alle.")
    assert slip.warnings == ["1 character could not be read. � stands in its place."]
    assert read("Grüße, 12 €".encode("cp1252"), "txt").warnings == []


@pytest.mark.parametrize("label", ["rot13", "idna", "utf-7", "unicode_escape", "base64", "no-such", "\\x00", ""])
def test_an_encoding_that_is_none_is_not_obeyed(label):
    assert decode("Grüße".encode(), [], declared=label) == "Grüße"


def test_a_long_cell_is_read_and_the_limit_of_the_process_is_as_it_was():
    before = csv.field_size_limit()

    assert "x" * 200_000 in list(read_csv(b"Name,Text\nA," + b"x" * 200_000, []))[0].text
    with pytest.raises(UnreadableError):
        list(read_csv(b"Name,Text\n" + b"A,b\n" * 100_001, []))

    assert csv.field_size_limit() == before


def test_doubled_quotes_of_a_csv():
    text = 'Question,Answer\nSize?,"It is 12"" wide, and 3"" thick"\nSaid?,"He said ""no"" twice, then left"\n'
    assert [part.text for part in read(text, "csv").passages] == [
        'Question: Size?\nAnswer: It is 12" wide, and 3" thick',
        'Question: Said?\nAnswer: He said "no" twice, then left',
    ]
    assert text_of("sep=;\nName;Price\nTea;4,50\n", "csv") == "Name: Tea\nPrice: 4,50"


names = st.lists(st.from_regex(r"[A-Z][a-z]{1,6}", fullmatch=True), min_size=2, max_size=4, unique=True)
values = st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S"]), min_size=1, max_size=12)


@settings(max_examples=60, deadline=None)
@given(
    names.flatmap(
        lambda row: st.tuples(
            st.just(row), st.lists(st.lists(values, min_size=len(row), max_size=len(row)), min_size=1, max_size=4)
        )
    ),
    st.sampled_from(",;\t|"),
)
def test_any_table_as_csv_keeps_its_values(table, delimiter):
    head, rows = table
    buffer = io.StringIO()
    csv.writer(buffer, delimiter=delimiter, quoting=csv.QUOTE_ALL).writerows([head, *rows])
    blocks = list(read_csv(buffer.getvalue().encode(), []))
    assert [block.text for block in blocks] == [
        "\n".join(f"{name}: {value}" for name, value in zip(head, row, strict=True)) for row in rows
    ]


def test_pages_without_text_are_named():
    reading = read(files.pdf("Terms.", "", "", "", "More.", ""), "pdf")
    assert [part.place for part in reading.passages] == ["page 1"]
    assert reading.warnings == [
        "Pages 2–4, 6 have no text. Run text recognition over pictures of text, and upload it again."
    ]
    assert read(files.pdf("Terms.", "More."), "pdf").warnings == []


def test_long_text_is_cut_at_the_sentences_of_its_script():
    for sentence in ("我们周一至周五营业，欢迎光临本店。", "日本語の文です！", "हम खुले हैं।", "نحن هنا؟ "):
        parts = pack([Block(sentence * 400)])
        assert len(parts) > 1
        assert all(len(part.text) <= LONGEST and part.text[-1] == sentence.strip()[-1] for part in parts)
        assert "".join(part.text for part in parts).replace(" ", "") == (sentence * 400).replace(" ", "")
    parts = pack([Block("ที่นี่ขายของ" * 300)])
    assert "".join(part.text for part in parts) == "ที่นี่ขายของ" * 300
    assert not any(part.text[0] in "ิีึืุู่้๊๋์ั" for part in parts)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(["html", "csv", "txt", "md"]),
    st.binary(max_size=300),
    st.sampled_from([b"", b"<table><tr><td>", b"\xff\xfe", b"<meta charset=utf-16>", b'"a","']),
)
def test_any_bytes_are_read_or_refused(suffix, data, before):
    warnings: list[str] = []
    try:
        parts = pack(READERS[suffix](before + data, warnings))
    except UnreadableError:
        return
    for part in parts:
        (part.text + part.heading + part.place).encode()
        assert "\0" not in part.text


@pytest.mark.parametrize("page", ["<div>" * 3000 + "deep", "<table><tr><td>" * 400 + "deep", "<b>" * 3000 + "deep"])
def test_deep_nesting_is_read_or_refused(page):
    try:
        list(read_html(page.encode(), []))
    except UnreadableError as error:
        assert "nested" in str(error)
