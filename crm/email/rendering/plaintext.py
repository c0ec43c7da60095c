"""The plain-text part out of the HTML one. Runs in the child process only.

A whole template becomes text once, with a character of the private-use planes in the place of each piece; a piece that
differs from recipient to recipient becomes text by itself. So the text part can be cut in pieces like the HTML.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from inscriptis.css_profiles import CSS_PROFILES  # type: ignore[import-untyped]
from inscriptis.html_engine import Inscriptis  # type: ignore[import-untyped]
from inscriptis.model.config import ParserConfig  # type: ignore[import-untyped]
from lxml.html import HtmlElement, HTMLParser, document_fromstring  # type: ignore[import-untyped]

from base.text import without_xml_declaration

_FIRST = 0xF0000  # private use, plane 15: nobody writes these, and each is one character wide
_MAX_PIECES = 0xFFFD
_PRIVATE = re.compile("[\U000f0000-\U000ffffd]")
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff\U000f0000-\U000fffff]")
_TAGS = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", re.DOTALL)
_BLANK_LINES = re.compile(r"\n{3,}")
_TRAILING = re.compile(r"[ \t]+\n")
_CONFIG = ParserConfig(css=CSS_PROFILES["strict"])
_SHORT = 1_000  # characters: what is longer is hardly ever the same for two
# Pieces are often a name with a little emphasis; these need no parser.
_SIMPLE = re.compile(r"</?(?:b|i|u|em|strong|span|small|big|font|code)(?:\s[^<>]*)?>", re.IGNORECASE)
_BREAK = re.compile(r"\s*<br\s*/?>\s*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Skeleton:
    statics: tuple[str, ...]
    order: tuple[int, ...]  # of the HTML's pieces; those in attributes and comments are not shown
    gaps: tuple[str, ...]  # what follows a piece that stands alone on its line, unless it is empty

    def pieces(self, of_html: Sequence[str]) -> list[str]:
        return [self._piece(of_html[index], gap) for index, gap in zip(self.order, self.gaps, strict=True)]

    @staticmethod
    def _piece(piece: str, gap: str) -> str:
        text = to_text(piece)
        return text + gap if text else ""


def skeleton(statics: Sequence[str], ids: Sequence[int]) -> Skeleton:
    """Make the text of a template cut at its pieces. `ids` are equal for pieces that are written alike."""
    whole = _FORBIDDEN.sub("", statics[0])
    for index, static in enumerate(statics[1:]):
        whole += (chr(_FIRST + index) if index < _MAX_PIECES else "") + _FORBIDDEN.sub("", static)
    text = _converted(whole, ids)
    parts, order = _PRIVATE.split(text), [ord(mark) - _FIRST for mark in _PRIVATE.findall(text)]
    gaps = [""] * len(order)
    for index in range(len(order)):
        before = parts[index]
        if (before.endswith("\n") or (index == 0 and before == "")) and parts[index + 1].startswith("\n"):
            after = parts[index + 1].lstrip("\n")
            gaps[index] = "\n" * (len(parts[index + 1]) - len(after))
            parts[index + 1] = after
    return Skeleton(tuple(parts), tuple(order), tuple(gaps))


def source_to_text(source: str) -> str:
    """Return the text of a template's HTML with its Jinja tags in their places: a template of the text part."""
    tags: list[str] = []

    def mark(found: re.Match[str]) -> str:
        tags.append(found.group())
        return chr(_FIRST + len(tags) - 1)

    source = _TAGS.sub(mark, _FORBIDDEN.sub("", source))
    ids = [tags.index(tag) for tag in tags]
    return _PRIVATE.sub(lambda found: tags[ord(found.group()) - _FIRST], _converted(source, ids))


def to_text(markup: str) -> str:
    """Return a piece of HTML as text. What has no tags keeps its spaces and line breaks."""
    return _short_to_text(markup) if len(markup) <= _SHORT else _to_text(markup)


@lru_cache(maxsize=4096)
def _short_to_text(markup: str) -> str:
    return _to_text(markup)


def _to_text(markup: str) -> str:
    if "<" in markup:
        markup = _SIMPLE.sub("", _BREAK.sub("\n", markup))
    if "<" in markup:
        return _converted(_FORBIDDEN.sub("", markup), ())
    return html.unescape(markup)


def _converted(markup: str, ids: Sequence[int]) -> str:
    tree = _tree(markup)
    return "" if tree is None else _tree_to_text(tree, ids)


def _tree(markup: str) -> HtmlElement | None:
    markup = without_xml_declaration(markup)
    if not markup.strip():
        return None
    return document_fromstring(f"<div>{markup}</div>" if "<body" not in markup.lower() else markup, parser=HTMLParser())


def _tree_to_text(tree: HtmlElement, ids: Sequence[int]) -> str:
    for link in list(tree.iter("a")):
        _show_address(link, ids)
    text = Inscriptis(tree, _CONFIG).get_text()
    return _BLANK_LINES.sub("\n\n", _TRAILING.sub("\n", text.replace("\u00a0", " "))).strip()


# What mail programs put around the message that is answered, and in front of it where all that follows is that message.
_QUOTES = (".//blockquote", ".//*[contains(concat(' ', @class, ' '), ' {} ')]")
_QUOTE_CLASSES = ("gmail_quote", "gmail_quote_container", "yahoo_quoted", "protonmail_quote", "moz-forward-container")
_HEADS = (
    ".//*[@id='divRplyFwdMsg' or @id='appendonsend' or @id='OLK_SRC_BODY_SECTION']",
    ".//*[@id='mail-editor-reference-message-container']",
    ".//div[contains(@style, 'border-top:solid') and contains(@style, 'border:none')]",
)
_OPENS, _CLOSES, _HEAD = "\U000f0000", "\U000f0001", "\U000f0002"
_MARKS = re.compile("[\U000f0000-\U000f0002]")


def mail_to_text(markup: str) -> str:
    """Return an e-mail's HTML as text, what is quoted in it behind "> ", as in mail that is written as text."""
    tree = _tree(_FORBIDDEN.sub("", markup))
    if tree is None:
        return ""
    quotes = tree.xpath(_QUOTES[0]) + [one for name in _QUOTE_CLASSES for one in tree.xpath(_QUOTES[1].format(name))]
    for quote in dict.fromkeys(quotes):
        # A quote stands in a paragraph of its own, so that the marks do as well.
        quote.text = f"{_OPENS}{quote.text or ''}"
        last = quote[-1] if len(quote) else None
        if last is None:
            quote.text += _CLOSES
        else:
            last.tail = f"{last.tail or ''}{_CLOSES}"
    for head in dict.fromkeys(one for path in _HEADS for one in tree.xpath(path)):
        head.text = f"{_HEAD}{head.text or ''}"
    return _quoted(_tree_to_text(tree, ()))


def _quoted(text: str) -> str:
    """Return the text with "> " before each line that stands between marks, or behind a head."""
    depth, is_all = 0, False
    lines = []
    for line in text.split("\n"):
        before = depth
        for mark in _MARKS.findall(line):
            is_all = is_all or mark == _HEAD
            depth = max(0, depth + {_OPENS: 1, _CLOSES: -1, _HEAD: 0}[mark])
        plain = _MARKS.sub("", line).rstrip()
        is_quoted = is_all or before > 0 or (depth > 0 or _OPENS in line)
        lines.append(f"> {plain}".rstrip() if is_quoted and (plain or before) else plain)
    return _BLANK_LINES.sub("\n\n", "\n".join(lines)).strip()


def _show_address(link: HtmlElement, ids: Sequence[int]) -> None:
    """Put the address behind the words of a link, unless the words are the address."""
    address = (link.get("href") or "").strip()
    words = link.text_content().strip()
    if not address or address.startswith("#") or not words:
        return
    for scheme in ("mailto:", "tel:"):
        address = address.removeprefix(scheme)
    if "".join(_plain(words, ids)) != "".join(_plain(address, ids)):
        link.tail = f" ({address}){link.tail or ''}"


def _plain(text: str, ids: Sequence[int]) -> Iterator[str]:
    for character in text:
        index = ord(character) - _FIRST
        yield f"\0{ids[index]}\0" if 0 <= index < len(ids) else character
