"""Documents and questions in every script."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agents.knowledge.models import Document, Word
from agents.knowledge.search import search
from agents.knowledge.services import indexing
from agents.knowledge.terms import MAX_TERMS, terms_of
from agents.knowledge.tests.factories import make_document
from base.words import is_unspaced, query_words
from tenants.context import entered

# ruff: noqa: E501  (as wide as they look, these letters are not)
CHINESE = "# 退款政策\n\n商品凭收据可在三十天内退回，货款退到原来的银行卡。\n\n# 停车\n\n顾客可以把车免费停在大楼后面的院子里。\n\n# 营业时间\n\n周六营业到下午一点。"
JAPANESE = (
    "# 返金\n\n商品はレシートがあれば三十日以内に返品できます。\n\n# 駐車場\n\n建物の裏の中庭に無料で車を停められます。"
)
THAI = "# การคืนเงิน\n\nคืนสินค้าได้ภายในสามสิบวันพร้อมใบเสร็จ\n\n# ที่จอดรถ\n\nลูกค้าจอดรถได้ฟรีในลานหลังอาคาร"
HINDI = "# धनवापसी नीति\n\nरसीद के साथ तीस दिनों के भीतर सामान लौटाया जा सकता है।\n\n# पार्किंग\n\nग्राहक अपनी गाड़ी इमारत के पीछे खड़ी कर सकते हैं।"
TAMIL = (
    "# பணம் திரும்பப் பெறுதல்\n\nரசீதுடன் முப்பது நாட்களுக்குள் பொருளைத் தரலாம்.\n\n# வாகன நிறுத்தம்\n\nவாடிக்கையாளர்கள் காரை முற்றத்தில் நிறுத்தலாம்."
)
ARABIC = (
    "# استرداد الأموال\n\nيمكن إعادة البضاعة خلال ثلاثين يومًا مع الإيصال.\n\n# موقف السيارات\n\nيمكن ترك السيارة في الفناء."
)
RUSSIAN = (
    "# Возврат\n\nТовар можно вернуть в течение тридцати дней с чеком.\n\n# Парковка\n\nМашину ставят во дворе за зданием."
)


@pytest.mark.parametrize(
    ("text", "question", "heading"),
    [
        (CHINESE, "退款政策是什么？", "退款政策"),
        (CHINESE, "请问停车要钱吗？", "停车"),
        (CHINESE, "周六营业到几点？", "营业时间"),
        (CHINESE, "车", "停车"),
        (JAPANESE, "返品はできますか？", "返金"),
        (JAPANESE, "車はどこに停められますか", "駐車場"),
        (THAI, "คืนสินค้าได้ไหม", "การคืนเงิน"),
        (THAI, "ที่จอดรถอยู่ที่ไหน", "ที่จอดรถ"),
        (HINDI, "धनवापसी", "धनवापसी नीति"),
        (HINDI, "गाड़ी कहाँ खड़ी करूँ?", "पार्किंग"),
        (TAMIL, "ரசீதுடன் என்ன தரலாம்?", "பணம் திரும்பப் பெறுதல்"),
        (TAMIL, "காரை எங்கே நிறுத்தலாம்?", "வாகன நிறுத்தம்"),
        (ARABIC, "كيف إعادة البضاعة؟", "استرداد الأموال"),
        (RUSSIAN, "Можно вернуть товар?", "Возврат"),
    ],
)
def test_a_question_that_shares_its_words_is_answered_in_every_script(in_alice, bob, text, question, heading):
    with entered(bob):
        make_document("Theirs", text, language="simple")
    assert search(question).found == []  # of another organization
    make_document("Info", text, language="simple")
    assert search(question).found[0].heading == heading


@pytest.mark.parametrize("language", ["simple", "english", "german"])
def test_the_language_of_a_document_does_not_hide_another_script(in_alice, language):
    make_document("Info", CHINESE, language=language)
    assert search("退款政策").found[0].heading == "退款政策"


def test_another_language_does_not_lean_on_the_turn_before(in_alice):
    make_document("Handbook", "# Parking\n\nCustomers park in the yard.\n\n# Refunds\n\nWe pay back within thirty days.")
    assert search("你们的退款政策是什么？", earlier=["Where can I park my car?"]).found == []
    assert search("退款？", earlier=["Where can I park my car?"]).found == []
    make_document("手册", CHINESE, language="simple")
    assert search("退款？", earlier=["Where can I park my car?"]).found[0].heading == "退款政策"


def test_a_short_question_leans_on_the_turn_before_in_its_own_script(in_alice):
    make_document("手册", CHINESE, language="simple")
    assert search("几楼？", earlier=["我想停车"]).found[0].heading == "停车"


def test_a_long_question_without_blanks_is_looked_up_by_all_of_it(in_alice):
    make_document("手册", CHINESE, language="simple")
    filler = "".join(chr(0x4E00 + number * 7) for number in range(220))
    for question in (f"{filler}退款政策三十天内退回银行卡", f"退款政策三十天内退回银行卡{filler}"):
        terms = terms_of(question)
        assert len(terms) == MAX_TERMS
        kept = "".join(term.word for term in terms)
        assert sum(character in kept for character in "退款政策三十天内退回银行卡") >= 3


def test_pairs_of_characters_are_not_corrected_into_others(in_alice):
    make_document("手册", CHINESE, language="simple")
    make_document("Info", THAI, language="simple")
    assert search("送货上门多少钱呢朋友").corrected == {}
    assert search("ดอกไม้สวยงามมากจริง").corrected == {}
    assert not [word for word in Word.objects.values_list("word", flat=True) if any("一" <= one <= "鿿" for one in word)]


def test_words_of_many_scripts_in_one_question(in_alice):
    make_document(
        "Mixed", "# WLAN 密码\n\nDas Passwort heißt 春天2026.\n\n# Парковка\n\nMit Parkschein.", language="german"
    )
    assert search("WLAN 密码?").found[0].heading == "WLAN 密码"
    assert search("春天2026").found[0].heading == "WLAN 密码"
    assert search("парковка").found[0].heading == "Парковка"


ALPHABETS = [
    (0x61, 0x7A), (0xC0, 0x17F), (0x370, 0x3FF), (0x400, 0x45F), (0x531, 0x556), (0x5D0, 0x5EA), (0x621, 0x64A),
    (0x905, 0x94D), (0x985, 0x9CD), (0xB85, 0xBCD), (0xE01, 0xE3A), (0x10D0, 0x10F0), (0x1780, 0x17D2), (0x3041, 0x3096),
    (0x30A1, 0x30FA), (0x4E00, 0x9FFF), (0xAC00, 0xD7A3), (0x20000, 0x2A6DF),
]  # fmt: skip


@st.composite
def sentences(draw):
    low, high = draw(st.sampled_from(ALPHABETS))
    letters = st.characters(min_codepoint=low, max_codepoint=high).filter(lambda one: unicodedata.category(one) != "Cn")
    words = draw(st.lists(st.text(letters, min_size=2, max_size=12), min_size=1, max_size=8))
    text = draw(st.sampled_from([" ", ""])).join(words)
    start = draw(st.integers(0, len(text) - 2))
    return text, text[start : start + draw(st.integers(2, 12))], draw(st.sampled_from(words))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sentences())
def test_any_text_in_any_script_is_found_by_a_piece_of_itself(in_alice, drawn):
    text, piece, word = drawn
    Document.objects.all().delete()
    document = Document.objects.create(title="x", kind="text", state="reading", language="simple")
    indexing._store(document, indexing.Reading([indexing.Block(text)], []))
    wholes = [text, word] if " " in text else [text, piece] if is_unspaced(text) else [text]
    for asked in wholes:
        if query_words(asked):
            assert [one.text for one in search(asked).found] == [text]
