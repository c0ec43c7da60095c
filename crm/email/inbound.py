"""An incoming e-mail as Inbound Parse hands it over. No I/O, no Django models. Everything in it is its sender's claim.

Source: SendGrid's "Setting up the Inbound Parse webhook", read 2026-11-20. The form's fields are bytes, each in the
encoding that the field `charsets` names for it; Django's own parser would decode them all as UTF-8 and lose the rest.
"""

from __future__ import annotations

import hashlib
import html as entities
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from email import policy
from email.message import EmailMessage as Mime
from email.parser import BytesParser, HeaderParser
from email.utils import getaddresses, parseaddr
from functools import cache
from pathlib import Path
from typing import Any, cast

from base.jsontext import JSONTextError, decode
from base.text import to_valid
from base.words import fold, query_words

MAX_PARTS = 200
MAX_TEXT = 200_000  # characters of a body that are kept
MAX_FILES = 20
MAX_HEADER = 2_000  # characters of a header that are looked at
# Python has codecs that take time by the square of the length ("punycode"), and the sender names the one to use.
_CHARSETS = re.compile(
    r"utf-?8|us-?ascii|ascii|iso-?8859-?\d{1,2}|latin-?1|(?:windows|cp)-?125\d|koi8-[rut]|gb2312|gbk|gb18030|big5(?:-?hkscs)?"
    r"|euc-(?:jp|kr|tw|cn)|shift-jis|iso-2022-(?:kr|jp(?:-(?:[123]|2004|ext))?)|cp-?(?:8(?:50|52|66|74)|9(?:32|36|49|50))"
    r"|tis-620|ks-c-5601-1987|mac-(?:roman|cyrillic|latin2)"
)
# As mail programs write them, and as Python does.
_ALIASES = {
    "windows-31j": "cp932",
    "x-sjis": "shift-jis",
    "windows-874": "cp874",
    "iso-8859-8-i": "iso-8859-8",
    "macintosh": "mac-roman",
    "x-mac-roman": "mac-roman",
    "uhc": "cp949",
    "windows-949": "cp949",
    "windows-936": "gbk",
}
_META_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([\w:.-]{2,40})", re.IGNORECASE)


class FormError(ValueError):
    """The body is not multipart/form-data."""


@dataclass(frozen=True, slots=True)
class File:
    name: str
    content_type: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Form:
    fields: dict[str, bytes]
    files: list[File]


@dataclass(frozen=True, slots=True)
class Inbound:
    digest: str  # the same for the same e-mail, should it come again
    header_id: str  # its Message-ID as it stands in its head; "" for none that can be named in another's
    from_email: str
    recipients: list[str]
    subject: str
    text: str
    html: str
    is_authenticated: bool
    is_automatic: bool
    files: list[File] = field(default_factory=list)


def read_form(content_type: str, body: bytes) -> Form:
    """Return the fields and files of a multipart/form-data body. Raises FormError."""
    boundary = _boundary(content_type)
    fields: dict[str, bytes] = {}
    files: list[File] = []
    pieces = (b"\r\n" + body).split(b"\r\n--" + boundary)
    if len(pieces) < 2 or len(pieces) > MAX_PARTS:
        raise FormError("no parts, or too many")
    for piece in pieces[1:]:
        if piece.startswith(b"--"):
            break
        head, found, data = piece.lstrip(b" \t").removeprefix(b"\r\n").partition(b"\r\n\r\n")
        if not found:
            continue
        headers = BytesParser(policy=_Policy()).parsebytes(head + b"\r\n\r\n", headersonly=True)
        name, filename = _names(head)
        if filename is not None:
            files.append(File(filename, str(headers.get_content_type()), data))
        elif name:
            fields.setdefault(name, data)
    return Form(fields, files)


def _boundary(content_type: str) -> bytes:
    kind, _, _ = content_type.partition(";")
    found = re.search(r';\s*boundary=(?:"([^"]{1,200})"|([^\s;"]{1,200}))', content_type, re.IGNORECASE)
    if kind.strip().lower() != "multipart/form-data" or found is None:
        raise FormError("not a form of several parts")
    try:
        return (found[1] or found[2]).encode("ascii")
    except UnicodeEncodeError:
        raise FormError("a boundary outside of ASCII") from None


_NAME = re.compile(r';\s*(file)?name="((?:[^"\\]|\\.)*)"', re.IGNORECASE)


def _names(head: bytes) -> tuple[str, str | None]:
    """Return a part's name, and its file's if it is one: in UTF-8 as programs write it, or whatever the bytes are."""
    name, filename = "", None
    for line in _decoded(head, "utf-8").split("\r\n"):
        if line.lower().startswith("content-disposition:"):
            for is_file, value in _NAME.findall(line):
                value = value.replace('\\"', '"').replace("%22", '"')
                if is_file:
                    filename = clean(value)
                else:
                    name = value
    return name, filename


# In a header: `=?charset?q?…?=` and `filename*=charset'en'…`.
_NAMED_CHARSET = re.compile(r"(=\?|\*=\s*\"?)([\w.:+-]+)(?=[?*'])")


def _codec(charset: str) -> str:
    """Return the codec of an encoding that mail is written in; "" for any other."""
    name = charset.strip().strip("\"'").lower().replace("_", "-")
    name = _ALIASES.get(name, name)
    return name if _CHARSETS.fullmatch(name) else ""


def _is_known(charset: str) -> bool:
    return bool(_codec(charset))


class _Policy(policy.EmailPolicy):
    """Headers are cut off, and decoded by codecs that mail is written in: the parser takes its time, and some codecs
    raise what it does not catch."""

    def header_source_parse(self, sourcelines: list[str]) -> tuple[str, str]:
        name, value = super().header_source_parse(sourcelines)
        return name, _NAMED_CHARSET.sub(_known_charset, value[:MAX_HEADER])


def _known_charset(found: re.Match[str]) -> str:
    return found[0] if _is_known(found[2]) else f"{found[1]}utf-8"


def _decoded(data: bytes, charset: str) -> str:
    """Return the text in the encoding named, if mail is written in it; else as well as it can be read."""
    for wanted in (_codec(charset) or "utf-8", "utf-8", "windows-1252"):
        try:
            return data.decode(wanted)
        except (UnicodeDecodeError, LookupError, ValueError):
            continue
    return data.decode("latin-1")


def _text(data: bytes, charset: str) -> str:
    return clean(_decoded(data, charset))


def _html(data: bytes, charset: str) -> str:
    """Return HTML in the encoding its part names, else the one it names itself."""
    named = None if _is_known(charset) else _META_CHARSET.search(data[:4096])
    return clean(_decoded(data, named[1].decode("ascii", "replace") if named else charset or "utf-8"))


def clean(text: str) -> str:
    """Return the text without what a database or a screen cannot hold."""
    return to_valid(text)


def read_inbound(form: Form) -> Inbound:
    """Return the e-mail in a form, whether it was sent in pieces or (`send_raw`) as a whole."""
    charsets = _json(form.fields.get("charsets", b""))

    def text(name: str) -> str:
        charset = charsets.get(name)
        named = charset if isinstance(charset, str) else ""
        read = _html if name == "html" else _text
        return read(form.fields.get(name, b""), named)

    files = [file for file in form.files if file.name != "" or file.data][:MAX_FILES]
    raw = form.fields.get("email")
    envelope = _json(form.fields.get("envelope", b""))
    headers = HeaderParser(policy=policy.compat32).parsestr(text("headers"))
    subject, plain, html = text("subject"), text("text"), text("html")
    if raw is not None:
        mime = cast("Mime", BytesParser(policy=_Policy()).parsebytes(raw))
        headers = HeaderParser(policy=policy.compat32).parsestr(_decoded(_head_of(raw), "utf-8"))
        plain, html, files = _content(mime)
    sender = parseaddr(text("from") or _header(headers, "From"))[1].strip().lower()
    bounce_to = envelope.get("from")
    return Inbound(
        digest=_digest(_header(headers, "Message-ID"), sender, form),
        header_id=_nameable(_header(headers, "Message-ID")),
        from_email=sender[:254],
        recipients=_recipients(envelope, text("to")),
        subject=" ".join(subject.split())[:200],
        text=plain[:MAX_TEXT],
        html=html,
        is_authenticated=_is_authenticated(sender, text("dkim"), text("SPF"), bounce_to),
        is_automatic=_is_automatic(headers, subject, sender, bounce_to),
        files=files,
    )


def _json(data: bytes) -> dict[str, Any]:
    try:
        found = decode(_decoded(data, "utf-8"))
    except JSONTextError:
        return {}
    return found if isinstance(found, dict) else {}


def _head_of(raw: bytes) -> bytes:
    return re.split(rb"\r?\n\r?\n", raw, maxsplit=1)[0]


def _content(mime: Mime) -> tuple[str, str, list[File]]:
    plain = html = ""
    files: list[File] = []
    for part in mime.walk():
        if part.is_multipart():
            continue
        payload = part.get_payload(decode=True)
        data = payload if isinstance(payload, bytes) else b""
        kind, name = part.get_content_type(), part.get_filename()
        if name is not None or part.get_content_disposition() == "attachment":
            files.append(File(clean(name or "file"), kind, data))
        elif kind == "text/plain" and not plain.strip():
            plain = _text(data, part.get_content_charset() or "")
        elif kind == "text/html" and not html.strip():
            html = _html(data, part.get_content_charset() or "")
    return plain, html, files[:MAX_FILES]


def _header(headers: Any, name: str) -> str:
    return " ".join(str(headers.get(name, "")).split())


def _recipients(envelope: dict[str, Any], to: str) -> list[str]:
    """Return the addresses it was delivered to: the envelope's; of a form without one, those it names."""
    listed = envelope.get("to")
    named = [one for one in listed if isinstance(one, str)] if isinstance(listed, list) else []
    return [address.strip().lower() for address in named or [pair[1] for pair in getaddresses([to])]][:50]


_MESSAGE_ID = re.compile(r"<[!-;=?-~]{1,290}>")  # printable ASCII without blanks: it goes into a header of ours


def _nameable(message_id: str) -> str:
    return message_id.strip() if _MESSAGE_ID.fullmatch(message_id.strip()) else ""


def _digest(message_id: str, sender: str, form: Form) -> str:
    digest = hashlib.sha256()
    if message_id:
        digest.update(f"{message_id}\n{sender}".encode())
    else:  # what it consists of, in an order of ours
        for name in ("from", "to", "subject", "text", "html", "headers", "email"):
            digest.update(name.encode() + b"\0" + form.fields.get(name, b"") + b"\0")
    return digest.hexdigest()


# --- who it is from, and whether that is a person ----------------------------------------------------------------------


def _is_authenticated(sender: str, dkim: str, spf: str, bounce_to: Any) -> bool:
    """Tell whether the sender's domain vouches for it: a signature of that domain, or a server it names as its own."""
    domain = sender.rpartition("@")[2]
    if "." not in domain:
        return False
    signed = re.findall(r"@([\w.-]+)\s*:\s*(\w+)", dkim)
    if any(result.lower() == "pass" and _is_aligned(by.lower(), domain) for by, result in signed):
        return True
    if spf.strip().lower() != "pass" or not isinstance(bounce_to, str):
        return False
    return _is_aligned(bounce_to.strip().lower().rpartition("@")[2], domain)


def _is_aligned(one: str, other: str) -> bool:
    """As DMARC's relaxed way: one of the two is the other, or lies below it."""
    shorter, longer = sorted((one.strip("."), other.strip(".")), key=len)
    return "." in shorter and (shorter == longer or longer.endswith(f".{shorter}"))


@cache
def _mail_words(kind: str) -> tuple[str, ...]:
    """Return what mail programs write, in many languages, folded: the words of one kind in `data/mail_words.json`."""
    words = json.loads((Path(__file__).resolve().parent / "data" / "mail_words.json").read_text(encoding="utf-8"))
    return tuple(fold(word) for word in words[kind])


_AUTOMATIC_HEADERS = (
    "X-Autoreply",
    "X-Autorespond",
    "X-Auto-Reply-From",
    "X-Autogenerated",
    "X-Auto-Response-Suppress",  # Exchange puts it on what it writes by itself
    "X-MS-Exchange-Inbox-Rules-Loop",
    "List-Id",
)
_ROBOTS = re.compile(
    r"^(?:mailer-daemon|postmaster|no-?reply|do-?not-?reply|auto-?(?:reply|responder)|bounces?)(?:[+-].*)?@"
)


def _is_automatic(headers: Any, subject: str, sender: str, bounce_to: Any) -> bool:
    """Tell whether a program wrote it: an out-of-office note, a report of a failed delivery, a list."""
    submitted = _header(headers, "Auto-Submitted").partition(";")[0].strip().lower()
    if submitted and submitted != "no":
        return True
    if any(_header(headers, name) for name in _AUTOMATIC_HEADERS):
        return True
    if _header(headers, "Precedence").lower() in ("bulk", "junk", "list", "auto_reply"):
        return True
    if _header(headers, "Content-Type").lower().startswith("multipart/report"):
        return True
    from_nobody = isinstance(bounce_to, str) and bounce_to.strip() in ("", "<>")
    return from_nobody or bool(_ROBOTS.match(sender)) or _is_automatic_subject(subject)


def _is_automatic_subject(subject: str) -> bool:
    """Tell whether a subject begins with the words that programs put before the subject they answer to."""
    start = fold(subject[:200]).lstrip(" [(*#-:：").replace("'", " ").replace("-", " ")
    return any(
        start.startswith(word) and not start[len(word) : len(word) + 1].isalnum() and _begins(start[len(word) :], word)
        for word in _mail_words("automatic_subjects")
    )


def _begins(rest: str, word: str) -> bool:
    """A single short word, such as "auto" or "afwezig", only counts before a colon or as the whole subject."""
    return " " in word or len(word) > 8 or not rest.strip() or rest.lstrip()[:1] in ":："


# --- what somebody wrote, and what they answered to ---------------------------------------------------------------------

_RULE = re.compile(r"^_{20,}\s*$")
_TITLE = re.compile(r"^-{2,}\s*(.{3,60}?)\s*-{2,}\s*$")
_LABELED = re.compile(r"^[*_]{0,2}([^\W\d_][^:：@]{0,25}?)[*_]{0,2}\s?[:：][*_]{0,2}\s*(\S.{0,500})$")
_TIME = re.compile(r"\d{1,2}[:.h時시点]\s?\d{2}")
_ADDRESSED = re.compile(r"^(?=.{0,250}\d).{8,250}<[^<>\s]{1,200}@[^<>\s]{1,200}>.{0,60}[:：]$")
_ENDS_AS_ATTRIBUTION = re.compile(r".{5,250}[:：]$")


def parts_of(text: str) -> tuple[str, str]:
    """Return what somebody wrote, and the quoted history behind it ("" for none).

    What counts is how mail programs set history apart, whatever their language: lines behind ">", a block of header lines,
    a ruled title, a line that names who wrote and when. Who answers between the quoted lines has written all of it.
    """
    lines = text.replace("\r\n", "\n").split("\n")
    cut = min(_quoted_from(lines), _titled_from(lines))
    said = "\n".join(lines[:cut]).rstrip()
    return (said, "\n".join(lines[cut:]).strip()) if said.strip() else (text.strip(), "")


def _titled_from(lines: Sequence[str]) -> int:
    """Return the first line, but for the very first, with which a copied message begins; the number of lines for none."""
    last_own = _last_own(lines)
    last_quoted = max((index for index, line in enumerate(lines) if line.startswith(">")), default=-1)
    for index, line in enumerate(lines):
        stripped = line.strip()
        if not index or not stripped or len(stripped) > 300:
            continue
        if _RULE.match(stripped) or _is_title(stripped) or _is_header_block(lines, index):
            return index
        # A line such as "On … wrote:" counts when nothing of their own follows it, or nothing is quoted at all.
        if index > last_own or index > last_quoted:
            following = lines[index + 1].strip() if index + 1 < len(lines) else ""
            if _is_attribution(stripped) or (len(stripped) < 200 and _is_attribution(f"{stripped} {following}"[:300])):
                return index
    return len(lines)


def _last_own(lines: Sequence[str]) -> int:
    """Return the last line that is neither blank, nor quoted, nor an attribution of what is quoted below it."""
    for index in range(len(lines) - 1, -1, -1):
        line = lines[index].strip()
        if line and not line.startswith(">"):
            return index - 1 if _is_attribution(line) else index
    return -1


def _is_title(line: str) -> bool:
    """A ruled title such as "-----Original Message-----"."""
    found = _TITLE.match(line)
    return found is not None and " ".join(query_words(found[1])) in {
        " ".join(query_words(t)) for t in _mail_words("forwarded")
    }


def _is_header_block(lines: Sequence[str], index: int) -> bool:
    """From, Sent, To, Subject: behind a known word for "From", or four such lines with a time and an address."""
    block = []
    for line in lines[index : index + 8]:
        found = _LABELED.match(line.strip()[:600])
        if found is None:
            break
        block.append(found)
    if len(block) < 2 or (index and _LABELED.match(lines[index - 1].strip()[:600])):
        return False
    has_time = any(_TIME.search(found[2]) for found in block)
    if fold(block[0][1]).strip() in _mail_words("from"):
        return len(block) >= 3 or has_time
    return len(block) >= 4 and has_time and "@" in block[0][2]


def _is_attribution(line: str) -> bool:
    """A line that names who wrote and when: it ends with a colon and has an address, or a date and a word for "wrote"."""
    if not _ENDS_AS_ATTRIBUTION.fullmatch(line) and not line.endswith((":", "：")):
        return False
    if _ADDRESSED.match(line):
        return True
    folded = fold(line)
    has_date = sum(character.isdigit() for character in folded) >= 3
    return has_date and any(word in folded for word in _mail_words("wrote"))


def _quoted_from(lines: Sequence[str]) -> int:
    """Return the line from which on there is nothing but quoted ones, the line that introduces them included."""
    cut = len(lines)
    while cut and (not lines[cut - 1].strip() or lines[cut - 1].startswith(">")):
        cut -= 1
    if not any(line.startswith(">") for line in lines[cut:]):
        return len(lines)
    for above in (1, 2, 3):
        if cut - above > 0 and _is_attribution(" ".join(" ".join(lines[cut - above : cut]).split())[:300]):
            return cut - above
    return cut


def strip_tags(html: str) -> str:
    """Return the words of HTML without its tags, scripts and styles, in one pass whatever the markup."""
    pieces: list[str] = []
    at = 0
    while at < len(html):
        begins = html.find("<", at)
        if begins < 0:
            pieces.append(html[at:])
            break
        pieces.append(html[at:begins])
        if html.startswith("<!--", begins):
            ends = html.find("-->", begins + 4)
            at = len(html) if ends < 0 else ends + 3
            continue
        ends = html.find(">", begins)
        if ends < 0:
            break
        name = html[begins + 1 : begins + 8].lower()
        at = ends + 1
        hidden = next((one for one in ("script", "style", "title") if name.startswith(one)), None)
        if hidden is not None:
            closes = _find_close(html, hidden, at)
            at = len(html) if closes < 0 else closes
        pieces.append("\n" if name.lstrip("/")[:2] in ("p", "p>", "br", "di", "tr", "li", "h1", "h2", "h3", "bl") else " ")
    lines = (" ".join(line.split()) for line in clean(entities.unescape("".join(pieces))).split("\n"))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()[:MAX_TEXT]


def _find_close(html: str, name: str, start: int) -> int:
    found = re.compile(f"</{name}", re.IGNORECASE).search(html, start)
    return -1 if found is None else found.start()
