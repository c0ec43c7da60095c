import json
from xml.dom import minidom

from hypothesis import given
from hypothesis import strategies as st

from base.text import to_stored, to_valid, to_valid_json, without_xml_declaration

ANY_TEXT = st.text(alphabet=st.characters(exclude_categories=[]))


@given(ANY_TEXT)
def test_any_text_becomes_valid_unicode_and_xml(text: str) -> None:
    valid = to_valid(text)

    valid.encode()
    assert "\0" not in valid
    document = minidom.Document()
    root = document.appendChild(document.createElement("a"))
    root.appendChild(document.createTextNode(valid))
    minidom.parseString(document.toxml(encoding="utf-8"))
    assert to_valid(valid) is valid


@given(st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff")))
def test_valid_text_is_left_alone(text: str) -> None:
    assert to_valid(text) is text


def test_what_becomes_of_each_kind() -> None:
    assert to_valid("half \ud83d of one") == "half � of one"
    assert to_valid("both \ud83d\ude00 halves") == "both 😀 halves"
    assert to_valid("\x7fa\x92s\x85\xa0") == "as\x85\xa0"
    assert to_valid("a\x0bb\x00c\x01d\te\nf") == "a bcd\te\nf"


def test_json_is_made_valid_in_names_and_lists() -> None:
    assert to_valid_json({"a\x00": ["\ud83d", {"b": 1}]}) == {"a": ["�", {"b": 1}]}


@given(ANY_TEXT)
def test_stored_text_is_the_same_when_stored_again(text: str) -> None:
    assert to_stored(to_stored(text)) == to_stored(text)
    json.dumps(to_stored(text), ensure_ascii=False).encode()


def test_spellings_of_one_name_are_stored_alike() -> None:
    assert to_stored("Jose\u0301") == to_stored("Jos\u00e9")


def test_an_xml_declaration_is_taken_off_the_beginning():
    assert without_xml_declaration('\ufeff <?xml version="1.0" encoding="UTF-8"?><a/>') == "<a/>"
    assert without_xml_declaration("<a/><?xml?>") == "<a/><?xml?>"
