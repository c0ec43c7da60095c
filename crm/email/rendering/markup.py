"""What commonly goes wrong in the HTML of an e-mail. Runs in the child process only: the text may be hostile."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from urllib.parse import urlsplit

Finding = tuple[str, int | None, str]  # level, line, what is wrong
MAX_IMAGE_BYTES = 100_000
CLIPPED_BYTES = 102 * 1024
MAX_FINDINGS = 50

_TAGS = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", re.DOTALL)
_BEGUN = re.compile(r"</?[a-zA-Z]|<!")
_DYNAMIC = "\ue000"
_VOID_TAGS = "area base br col embed hr img input link meta param source track wbr"
_OPTIONAL_ENDS = "p li dt dd tr td th tbody thead tfoot option optgroup colgroup html body head"
_VOID = frozenset(_VOID_TAGS.split())
_MAY_STAY_OPEN = frozenset(_OPTIONAL_ENDS.split())
_DROPPED = {
    "script": "Scripts do not run in e-mail, and make it look like an attack.",
    "form": "Most mail programs take forms out. Link to a page with the form instead.",
    "iframe": "Mail programs take embedded pages out. Link to the page instead.",
    "object": "Mail programs take embedded objects out.",
    "embed": "Mail programs take embedded objects out.",
    "video": "Few mail programs play videos. Link an image to it instead.",
    "audio": "Few mail programs play sounds. Link to it instead.",
    "style": "Some mail programs drop style sheets. Put the most important styles on the elements themselves.",
    "link": "Mail programs do not load style sheets from elsewhere.",
}
_SCHEMES = ("http", "https", "mailto", "tel", "sms")
_WEB = re.compile(r"https?://(?!https?:|/|:)", re.IGNORECASE)
_LIKE_WEB = re.compile(r"(?:h*t{1,3}p{1,2}s{0,2}|ht{1,2}s)\s*[:;,/.]", re.IGNORECASE)


def findings(source: str) -> list[Finding]:
    plain = _TAGS.sub(lambda found: _DYNAMIC + "\n" * found.group().count("\n"), source)
    found = list(_whole(source, plain))
    look = _Look()
    look.feed(plain)
    rest = look.rawdata
    look.close()
    look.finish()
    if _BEGUN.match(rest):
        found.append(("error", None, "A tag is not closed: is a “>” or a quotation mark missing near the end?"))
    return [*found, *look.found][:MAX_FINDINGS]


def _whole(source: str, plain: str) -> Iterator[Finding]:
    if len(plain.encode("utf-8", "replace")) > CLIPPED_BYTES:
        yield "warning", None, "It is longer than 102 kB: many mail programs cut it there, the unsubscribe link included."
    if not plain.strip():
        yield "error", 1, "The e-mail is empty."


class _Look(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[Finding] = []
        self.open: list[tuple[str, int]] = []
        self.said: set[str] = set()

    def say(self, level: str, text: str, *, once: str = "") -> None:
        if once and once in self.said:
            return
        self.said.add(once)
        self.found.append((level, self.getpos()[0], text))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag in _DROPPED:
            self.say("warning", _DROPPED[tag], once=tag)
        if tag == "a":
            self._link(values)
        elif tag == "img":
            self._image(values)
        for name in values:
            if name.startswith("on") and len(name) > 4 and name.isalpha():
                self.say("warning", f"“{name}” does nothing in e-mail.", once=name)
            elif any(mark in name for mark in "\"'<") or "<" in values[name]:
                self.say(
                    "error", f"A quotation mark is missing or one too many in <{tag}>.", once=f"quotes {self.getpos()}"
                )
        if tag not in _VOID:
            self.open.append((tag, self.getpos()[0]))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag in _VOID:
            return
        names = [name for name, _ in self.open]
        if tag not in names:
            if tag not in _MAY_STAY_OPEN:
                self.say("warning", f"</{tag}> closes nothing that is open.")
            return
        while self.open:
            name, line = self.open.pop()
            if name == tag:
                return
            self._left_open(name, line)

    def finish(self) -> None:
        for name, line in self.open:
            self._left_open(name, line)

    def _left_open(self, name: str, line: int) -> None:
        if name not in _MAY_STAY_OPEN:
            self.found.append(("warning", line, f"<{name}> is not closed."))

    def _link(self, values: dict[str, str]) -> None:
        if "href" not in values:
            if "name" not in values and "id" not in values:
                self.say("warning", "A link has no address.")
            return
        problem = link_problem(values["href"])
        if problem:
            self.say("error", problem)

    def _image(self, values: dict[str, str]) -> None:
        address = values.get("src", "").strip()
        if not address:
            self.say("error", "An image has no address.")
        elif address.startswith("data:"):
            if len(address) > MAX_IMAGE_BYTES:
                self.say(
                    "warning", f"An image of {len(address) // 1000} kB is inside the text. Link to it on a web server."
                )
            else:
                self.say("warning", "Some mail programs do not show images that are inside the text.", once="data image")
        elif _DYNAMIC not in address and scheme_of(address) not in ("http", "https", "cid"):
            self.say("error", f"The image “{_short(address)}” needs a whole address that begins with https://.")
        if "alt" not in values:
            self.say("warning", "An image has no alt text: it is what people read whose program does not load images.")


def link_problem(address: str) -> str:
    """Return what is wrong with a link's address, empty when nothing is. Placeholders count as some text."""
    address = address.strip()
    if not address:
        return "A link has an empty address."
    if address == _DYNAMIC or address.startswith(_DYNAMIC):
        return ""
    if address == "#":
        return "The link “#” leads nowhere."
    if address.startswith("#"):
        return ""
    if _LIKE_WEB.match(address) and not _WEB.match(address):
        return f"The link “{_short(address)}” is mistyped: it should begin with https://."
    scheme = scheme_of(address)
    if scheme is None:
        return f"The link “{_short(address)}” cannot be read as an address."
    if not scheme:
        return f"The link “{_short(address)}” needs a whole address that begins with https://."
    if scheme not in _SCHEMES:
        return f"The link “{_short(address)}” begins with “{scheme}:”, which mail programs do not open."
    if scheme in ("http", "https"):
        return _web_problem(address)
    return ""


def _web_problem(address: str) -> str:
    host = urlsplit(address).hostname or ""
    if _DYNAMIC in host:
        return ""
    if any(character.isspace() for character in address):
        return f"The link “{_short(address)}” has a space in it."
    if "." not in host.strip(".") or ".." in host:
        return f"The link “{_short(address)}” has no web server that could answer."
    return ""


def scheme_of(address: str) -> str | None:
    """Return an address's scheme, empty for none; None when it cannot be read."""
    try:
        parts = urlsplit(address)
        _ = parts.hostname
    except ValueError:
        return None
    return parts.scheme.lower()


def _short(address: str) -> str:
    text = address.replace(_DYNAMIC, "…")
    return text if len(text) <= 60 else text[:59] + "…"
