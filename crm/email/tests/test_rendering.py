"""Rendering: what comes out, that one name too many is an error, and that cutting in pieces changes nothing."""

from __future__ import annotations

import time

import jinja2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm.email.rendering.renderer import RenderError, Row, render, render_split, text_source
from crm.email.rendering.sources import MAX_PART_BYTES, Source

ANN = {"contact_name": "Ann", "business_name": "Miller & <Sons>", "city": "", "amount": 12, "is_vip": True, "nothing": None}


def html(template, **values):
    return render(source=Source("s", template), values={**ANN, **values}).html


def text(template, **values):
    return render(source=Source("s", template), values={**ANN, **values}).text


def error_of(template, part="html", **values):
    parts = {"subject": "s", "html": "<p>h</p>", "text": "", part: template}
    with pytest.raises(RenderError) as caught:
        render(source=Source(**parts), values={**ANN, **values})
    return caught.value


# --- what comes out --------------------------------------------------------------------------------------------------


def test_a_message_has_three_parts():
    source = Source(
        "Hello {{ contact_name }}", "<p>Dear {{ business_name }},</p><p>thanks.</p>", "Dear {{ business_name }}"
    )

    rendering = render(source=source, values=ANN)

    assert rendering.subject == "Hello Ann"
    assert rendering.html == "<p>Dear Miller &amp; &lt;Sons&gt;,</p><p>thanks.</p>"
    assert rendering.text == "Dear Miller & <Sons>"


@pytest.mark.parametrize(
    ("template", "comes_out"),
    [
        ("{{ contact_name or 'there' }}", "Ann"),
        ("{{ city or 'there' }}", "there"),
        ("{{ city|default('there', true) }}", "there"),
        ("{% if city %}in {{ city }}{% else %}anywhere{% endif %}", "anywhere"),
        ("{% if amount > 10 %}much{% endif %}", "much"),
        ("{% if is_vip %}vip{% endif %} {{ is_vip }}", "vip yes"),
        ("{{ nothing }}{{ none }}", ""),
        ("{% for i in range(3) %}{{ i }}{{ ',' if not loop.last }}{% endfor %}", "0,1,2"),
        ("{% set greeting = 'Hi' %}{{ greeting }} {{ contact_name|upper }}", "Hi ANN"),
        ("{% raw %}{{ contact_name }}{% endraw %}", "{{ contact_name }}"),
        ("a{# a note #}b", "ab"),
        ("{{ 'a' ~ amount ~ '<' }}", "a12&lt;"),
        ("{{ contact_name[0] }}{{ [1, 2]|join('-') }}", "A1-2"),
        ("line\n", "line\n"),
        ("", ""),
        ("Grüße, 你好 👋 {{ contact_name }}", "Grüße, 你好 👋 Ann"),
    ],
)
def test_what_templates_may_do(template, comes_out):
    assert html(template) == comes_out


_OFFERED = """
1|abs; [1]|batch(2)|list; 'a'|capitalize; 'a'|count; 'a'|d; 'a'|default; {'a':1}|dictsort; 'a'|e; 'a'|escape; 'a'|first;
'1'|float; '1'|int; [1]|join; 'a'|last; 'a'|length; 'a'|list; 'a'|lower; [1]|max; [1]|min; 'a'|replace('a', 'b');
'a'|reverse; 1.5|round; [1]|slice(2)|list; 'ba'|sort; 'a'|string; '<b>x'|striptags; [1]|sum; 'a'|title; 'a'|trim;
'ab'|truncate(3); 'a'|unique|list; 'a'|upper; 'ä'|urlencode; 'a'|wordcount; 'a b'|wordwrap(1); 1 is defined; 1 is odd;
4 is divisibleby(2); 1 is number; 'a' is string; 1 is in([1]); none is none; 1 is eq(1); 'A' is upper
"""


@pytest.mark.parametrize("used", _OFFERED.strip().replace("\n", " ").split("; "))
def test_all_that_is_offered_works_where_no_file_can_be_opened(used):
    assert html("{{ " + used + " }}") != ""


def test_values_are_never_markup():
    assert html('<a title="{{ contact_name }}">{{ contact_name }}</a>', contact_name="\"><script>'") == (
        '<a title="&#34;&gt;&lt;script&gt;&#39;">&#34;&gt;&lt;script&gt;&#39;</a>'
    )
    assert html("{{ contact_name }}", contact_name="{{ business_name }}{% if %}") == "{{ business_name }}{% if %}"


def test_a_template_may_begin_with_an_xml_declaration():
    assert (
        text('<?xml version="1.0" encoding="UTF-8"?>\n<html><body><p>Hello {{ contact_name }}</p></body></html>')
        == "Hello Ann"
    )


def test_a_subject_stays_one_line():
    source = Source("Hi\r\n{{ contact_name }}!", "x")

    assert render(source=source, values={"contact_name": "Ann\r\nBcc: all@example.com\u2028x"}).subject == (
        "Hi Ann Bcc: all@example.com x!"
    )


# --- a name that is not there ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "template",
    [
        "\n\n{{ frist_name }}",
        "\n\n{% if frist_name %}a{% endif %}",
        "\n\n{% if city %}{{ frist_name }}{% endif %}",
        "\n\n{{ frist_name|default('x') }}",
        "\n\n{% for letter in frist_name %}{% endfor %}",
        "\n\n{% set x = frist_name %}",
    ],
)
@pytest.mark.parametrize("part", ["subject", "html", "text"])
def test_an_unknown_name_is_an_error_with_its_line(template, part):
    error = error_of(template, part)

    assert (error.part, error.line, str(error)) == (part, 3, "There is nothing called “frist_name”.")
    assert error.place == f"{part}, line 3"


def test_what_a_value_has_not_is_an_error_too():
    error = error_of("a\n{% if amount %}b\n{{ contact_name.family }}{% endif %}")

    assert (error.part, error.line) == ("html", 3)
    assert "family" in str(error)


@pytest.mark.parametrize(
    ("template", "line", "words"),
    [
        ("a\n{% if city %}", 2, "endif"),
        ("a\nb\n{{ contact_name|nosuch }}", 3, "No filter named 'nosuch'"),
        ("{{ contact_name", 1, "end of"),
        ("a\n{{ 1 / 0 }}", 2, "Division by zero"),
        ("\n\n\n{{ amount|join(1, 2, 3, 4) }}", 4, "positional"),
        ("{{ amount + 'a' }}", 1, "Unsupported operand"),
        ("\n{% unknown %}", 2, "unknown tag"),
        ("{{ '}}", 1, "Unexpected char"),
    ],
)
def test_mistakes_have_their_line(template, line, words):
    error = error_of(template)

    assert (error.part, error.line) == ("html", line)
    assert words in str(error)


def test_one_contacts_values_spoil_only_their_own_message():
    rows = [{"n": 1}, {"n": 0}, {}, {"n": 4}]

    split = render_split(source=Source("s", "a\n{{ 4 / n }}"), many=rows)

    kinds = [str(row) if isinstance(row, RenderError) else split.join(row).html for row in split.rows]
    assert kinds == ["a\n4.0", "Division by zero.", "There is nothing called “n”.", "a\n1.0"]
    assert [row.line for row in split.rows if isinstance(row, RenderError)] == [2, 2]


# --- the text part ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "comes_out"),
    [
        ("<p>Hello <b>{{ contact_name }}</b>,</p><p>bye.</p>", "Hello Ann,\n\nbye."),
        ("<p>{{ business_name }}</p>", "Miller & <Sons>"),
        ("a<br>{{ contact_name }}<br>b", "a\nAnn\nb"),
        ('<a href="https://example.com/?a=1&amp;b={{ amount }}">Look</a>.', "Look (https://example.com/?a=1&b=12)."),
        ('<a href="https://example.com">https://example.com</a>', "https://example.com"),
        ('<a href="{{ link }}">{{ link }}</a>', "https://example.com/?a=1&b=2"),
        ('<a href="mailto:a@example.com">a@example.com</a>', "a@example.com"),
        ('<a href="#top">Top</a> <a href="https://example.com"><img src="x"></a>', "Top"),
        ("<style>p {color: {{ amount }}}</style><p>x</p><script>{{ amount }}</script>", "x"),
        ("<head><title>{{ amount }}</title></head><body><p>x</p></body>", "x"),
        ("<!-- {{ amount }} --><p>x</p>", "x"),
        ("<p>a</p>{% if city %}<p>{{ city }}</p>{% endif %}<p>b</p>", "a\n\nb"),
        ("<p>a</p>{% if amount %}<p>{{ amount }}</p>{% endif %}<p>b</p>", "a\n\n12\n\nb"),
        ("{% if amount %}<p>a</p>{% endif %}<p>b</p>", "a\n\nb"),
        ("{% if city %}<p>a</p>{% endif %}<p>b</p>", "b"),
        ("<ul>{% for i in range(2) %}<li>{{ i }}</li>{% endfor %}</ul>", "* 0\n* 1"),
        ("<p>1 &lt; 2 &amp; 3</p>", "1 < 2 & 3"),
        ("", ""),
    ],
)
def test_the_text_part_is_made_from_the_html(template, comes_out):
    assert text(template, link="https://example.com/?a=1&b=2") == comes_out


def test_a_written_text_part_is_kept_as_it_is_written():
    source = Source("s", "<p>html</p>", "Dear {{ business_name }}\n  -- \n")

    assert render(source=source, values=ANN).text == "Dear Miller & <Sons>\n  -- \n"


def test_the_text_of_a_templates_html_is_a_template():
    made = text_source(
        '<p>{{ contact_name }}{% if city %} in {{ city }}{% endif %}</p><a href="{{ unsubscribe_url }}">Unsubscribe</a>'
    )

    assert made == ("{{ contact_name }}{% if city %} in {{ city }}{% endif %}\n\nUnsubscribe ({{ unsubscribe_url }})")


# --- in pieces -------------------------------------------------------------------------------------------------------


def test_what_is_the_same_for_all_is_returned_once():
    source = Source("Hi {{ a }}", '<p class="{{ a }}">{{ a }}{{ b }}</p>{% if b %}<i>{{ b }}</i>{% endif %} end')

    split = render_split(source=source, many=[{"a": "1", "b": "2"}, {"a": "3", "b": ""}])

    assert split.can_batch
    assert split.statics["subject"] == ("Hi ", "")
    assert split.statics["html"] == ('<p class="', '">', "</p>", " end")
    assert [row.pieces["html"] for row in split.rows] == [("1", "12", "<i>2</i>"), ("3", "3", "")]
    assert all(len(split.statics[part]) == len(row.pieces[part]) + 1 for row in split.rows for part in row.pieces)


def test_what_prints_nothing_is_no_piece():
    split = render_split(source=Source("s", "a{% set x = 1 %}b{{ x }}{% set x = 2 %}c{{ x }}"), many=[{}])

    assert split.statics["html"] == ("ab", "c", "")
    assert split.join(split.rows[0]).html == "ab1c2"


def test_nobody_is_rendered_for_nobody():
    split = render_split(source=Source("s", "a{{ b }}"), many=[])

    assert (split.rows, split.statics["html"]) == ([], ("a", ""))


_VALUES = st.fixed_dictionaries({"a": st.text(max_size=12), "b": st.one_of(st.integers(), st.just("")), "c": st.booleans()})
_WORDS = st.text(alphabet="ab <>&\"'=/\n\u00e4\U000f0001", max_size=8)
_TAGS = st.sampled_from(
    [
        "{{ a }}",
        "{{ b }}",
        "{{ a|upper }}",
        "{% if c %}<b>{{ a }}</b>{% else %}-{% endif %}",
        "{% for i in range(2) %}{{ i }}{{ a }}{% endfor %}",
        "{% set y = a %}",
        "{% set b = 'x' %}{{ b }}",
        "{# note #}",
        "<a href=\"{{ a }}\" title='{{ b }}'>",
        "</a>",
        "<p>",
        "{%- if b -%} x {%- endif -%}",
        "{% with z = b %}{{ z }}{% endwith %}",
        "{% filter upper %}q{{ a }}{% endfilter %}",
        "{% raw %}{{ z }}{% endraw %}",
    ]
)
_TEMPLATES = st.lists(st.one_of(_WORDS, _TAGS), max_size=10).map("".join)


def _plainly(template, values, *, autoescape):
    """The same with Jinja alone."""
    finalize = lambda value: ("yes" if value else "no") if isinstance(value, bool) else value  # noqa: E731
    environment = jinja2.Environment(autoescape=autoescape, finalize=finalize, keep_trailing_newline=True)  # noqa: S701
    return environment.from_string(template).render(values)


@given(template=_TEMPLATES, subject=_TEMPLATES, many=st.lists(_VALUES, min_size=1, max_size=3))
def test_the_joined_pieces_are_the_message(template, subject, many):
    source = Source(subject, template, f"text {template}")

    split = render_split(source=source, many=many)

    for row, values in zip(split.rows, many, strict=True):
        assert isinstance(row, Row)
        joined = split.join(row)
        assert joined == render(source=source, values=values)
        assert joined.html == _plainly(template, values, autoescape=True)
        assert joined.text == _plainly(source.text, values, autoescape=False)
        assert "\n" not in joined.subject


@given(template=_TEMPLATES, many=st.lists(_VALUES, min_size=2, max_size=3))
def test_a_text_made_of_html_is_the_same_alone_and_among_others(template, many):
    source = Source("s", template)

    split = render_split(source=source, many=many)

    for row, values in zip(split.rows, many, strict=True):
        assert split.join(row).text == render(source=source, values=values).text


# --- size and speed --------------------------------------------------------------------------------------------------


def test_a_template_is_bounded():
    error = error_of("a" * (MAX_PART_BYTES + 1))

    assert (error.part, str(error)) == ("html", "It is longer than 500 kB.")
    assert len(html("a" * MAX_PART_BYTES)) == MAX_PART_BYTES


@pytest.mark.parametrize("count", [249, 250, 251, 600])
def test_many_are_asked_for_in_parts_and_answered_as_one(count):
    split = render_split(source=Source("s", "a{{ n }}b"), many=[{"n": n} for n in range(count)])

    assert [row.pieces["html"] for row in split.rows] == [(str(n),) for n in range(count)]


def test_a_long_message_for_many_fits_into_memory():
    """All of it within a condition, so that it is one piece, different for everybody."""
    source = Source("s", "{% if n %}" + "<p>Some words and {{ n }}.</p>" * 3000 + "{% endif %}", "text")

    split = render_split(source=source, many=[{"n": n + 1} for n in range(300)])

    assert [type(row) for row in split.rows] == [Row] * 300
    assert len(split.join(split.rows[299]).html) > 70_000


def test_thousands_of_places_in_a_template():
    names = [f"v{n}" for n in range(4000)]

    rendering = render(
        source=Source("s", " ".join(f"{{{{ {name} }}}}" for name in names)), values=dict.fromkeys(names, "x")
    )

    assert rendering.html == rendering.text == " ".join("x" * 4000)


def test_a_thousand_messages_take_a_fraction_of_a_second():
    source = Source(
        "{{ first_name or 'Hello' }}, news from {{ organization_name }}",
        "<p>Dear {{ contact_name }},</p>{% if city %}<p>how is {{ city }}?</p>{% endif %}"
        + "<p>Some more words that are the same for all.</p>" * 40
        + '<p><a href="{{ unsubscribe_url }}">Unsubscribe</a></p>',
    )
    rows = [
        {
            "first_name": f"Ann{n}",
            "contact_name": f"Ann{n} Miller",
            "organization_name": "Acme",
            "city": "Springfield" if n % 2 else "",
            "unsubscribe_url": f"https://example.com/mail/u/{n:0128d}",
        }
        for n in range(1000)
    ]
    render_split(source=source, many=rows[:1])

    took = []
    for _ in range(3):
        started = time.perf_counter()
        split = render_split(source=source, many=rows)
        took.append(time.perf_counter() - started)

    assert min(took) < 0.3
    assert split.join(split.rows[999]).subject == "Ann999, news from Acme"
