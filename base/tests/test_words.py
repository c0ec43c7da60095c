import pytest
from hypothesis import given
from hypothesis import strategies as st

from base.words import MAX_WORD, fold, index_words, is_unspaced, query_words


@pytest.mark.parametrize(
    ("written", "searched"),
    [
        ("Nguyễn", "nguyen"),
        ("Ștefan Țepeș", "STEFAN TEPES"),
        ("Şahin", "sahin"),
        ("ŞAHİN", "şahin"),
        ("Strauß", "strauss"),
        ("Ёлкин", "Елкин"),
        ("Αλέξανδρος", "Αλεξανδρος"),
        ("Kjær", "Kjaer"),
        ("Þór", "Thor"),
        ("Guðmundsson", "gudmundsson"),
        ("Jose\u0301", "josé"),
        ("ﬁnance", "finance"),
        ("ＡＢＣ１２３", "abc123"),
        ("مُحَمَّد", "محمد"),
        ("שָׁלוֹם", "שלום"),
        ("हिन्दी", "हिन्दी"),
    ],
)
def test_spellings_fold_to_the_same(written: str, searched: str) -> None:
    assert fold(written) == fold(searched)


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ("我们的退款政策是三十天", "退款"),
        ("返金ポリシーは三十日です", "返金ポリシー"),
        ("นโยบายการคืนเงินภายในสามสิบวัน", "คืนเงิน"),
        ("धनवापसी नीति: तीस दिन", "धनवापसी"),
        ("பணத்தைத் திரும்பப் பெறும் கொள்கை", "கொள்கை"),
        ("환불은 삼십 일 안에 됩니다", "환불"),
        ("سياسة الاسترجاع ثلاثون يوماً", "يوما"),
        ("Возврат денег за тридцать дней", "ДЕНЕГ"),
    ],
)
def test_words_of_every_script_are_found(text: str, question: str) -> None:
    assert set(query_words(question)) <= set(index_words(text))
    assert query_words(question)


def test_kana_keep_their_voicing_and_hangul_its_syllables() -> None:
    assert fold("がか") == "がか"
    assert fold("한국") == "한국"


def test_words_end_at_punctuation_and_underscores() -> None:
    assert query_words("Don't_panic, e-mail!") == ["don", "t", "panic", "e", "mail"]


def test_a_run_of_one_character_is_a_word_where_there_are_no_blanks() -> None:
    assert query_words("水") == ["水"]
    assert "水" in index_words("冷たい水です")
    assert is_unspaced("水") and not is_unspaced("water")


@given(st.text())
def test_what_is_asked_is_among_what_is_indexed(text: str) -> None:
    assert set(query_words(text)) <= set(index_words(text))
    assert "" not in query_words(text)


@given(st.text())
def test_folding_again_changes_nothing(text: str) -> None:
    assert fold(fold(text)) == fold(text)


def test_long_runs_are_cut() -> None:
    assert max(map(len, index_words("a" * 1000))) == MAX_WORD
