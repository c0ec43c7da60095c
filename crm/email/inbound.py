"""An incoming e-mail as Inbound Parse hands it over. No I/O, no Django models. Everything in it is its sender's claim.

Source: SendGrid's "Setting up the Inbound Parse webhook", read 2026-11-20. The form's fields are bytes, each in the
encoding that the field `charsets` names for it; Django's own parser would decode them all as UTF-8 and lose the rest.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from email import policy
from email.message import EmailMessage as Mime
from email.parser import BytesParser, HeaderParser
from email.utils import getaddresses, parseaddr
from typing import Any, cast

MAX_PARTS = 200
MAX_TEXT = 200_000  # characters of a body that are kept
MAX_FILES = 20
MAX_HEADER = 2_000  # characters of a header that are looked at
# Python has codecs that take time by the square of the length ("punycode"), and the sender names the one to use.
_CHARSETS = re.compile(
    r"utf-?8|us-?ascii|ascii|iso-?8859-?\d{1,2}|latin-?1|(?:windows|cp)-?125\d|koi8-[rut]|gb2312|gbk|gb18030|big5(?:-?hkscs)?"
    r"|euc-(?:jp|kr|tw|cn)|shift-jis|iso-2022-(?:kr|jp(?:-(?:[123]|2004|ext))?)"
)
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


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


def _is_known(charset: str) -> bool:
    return _CHARSETS.fullmatch(charset.strip().lower().replace("_", "-")) is not None


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
    for wanted in (charset.strip() if _is_known(charset) else "utf-8", "utf-8", "windows-1252"):
        try:
            return data.decode(wanted)
        except (UnicodeDecodeError, LookupError, ValueError):
            continue
    return data.decode("latin-1")


def clean(text: str) -> str:
    """Return the text without what a database or a screen cannot hold."""
    return _CONTROL.sub("", text)


def read_inbound(form: Form) -> Inbound:
    """Return the e-mail in a form, whether it was sent in pieces or (`send_raw`) as a whole."""
    charsets = _json(form.fields.get("charsets", b""))

    def text(name: str) -> str:
        charset = charsets.get(name)
        return clean(_decoded(form.fields.get(name, b""), charset if isinstance(charset, str) else "utf-8"))

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
        found = json.loads(_decoded(data, "utf-8"))
    except (ValueError, RecursionError):
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
        elif kind == "text/plain" and not plain:
            plain = clean(_decoded(data, part.get_content_charset() or "utf-8"))
        elif kind == "text/html" and not html:
            html = clean(_decoded(data, part.get_content_charset() or "utf-8"))
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


_AWAY = re.compile(
    r"^\W*(?:auto(?:matic|mated)?[\s:-]*(?:reply|response|antwort)|autoreply|auto:|out[\s-]of[\s-](?:the[\s-])?office"
    r"|abwesen|automatische antwort|réponse automatique|absence du bureau|respuesta automática|fuera de la oficina"
    r"|risposta automatica|automatisch antwoord|afwezig|autosvar|resposta automática|undeliver|delivery status notif"
    r"|mail delivery|returned mail|failure notice)",
    re.IGNORECASE,
)
_ROBOTS = re.compile(
    r"^(?:mailer-daemon|postmaster|no-?reply|do-?not-?reply|auto-?(?:reply|responder)|bounces?)(?:[+-].*)?@"
)


def _is_automatic(headers: Any, subject: str, sender: str, bounce_to: Any) -> bool:
    """Tell whether a program wrote it: an out-of-office note, a report of a failed delivery, a list."""
    submitted = _header(headers, "Auto-Submitted").partition(";")[0].strip().lower()
    if submitted and submitted != "no":
        return True
    if any(_header(headers, name) for name in ("X-Autoreply", "X-Autorespond", "X-Auto-Reply-From", "List-Id")):
        return True
    if _header(headers, "Precedence").lower() in ("bulk", "junk", "list", "auto_reply"):
        return True
    if _header(headers, "Content-Type").lower().startswith("multipart/report"):
        return True
    from_nobody = isinstance(bounce_to, str) and bounce_to.strip() in ("", "<>")
    return from_nobody or bool(_ROBOTS.match(sender)) or bool(_AWAY.match(subject))


# --- what somebody wrote, and what they answered to ---------------------------------------------------------------------

_BEGINS = re.compile(
    r"^(?:"
    r"-{2,}\s*(?:original message|ursprüngliche nachricht|message d'origine|mensaje original|forwarded message)\s*-{2,}"
    r"|_{20,}"
    r"|(?:on|am|le|el|il|op|den)\s.{5,200}\s(?:wrote|schrieb|a écrit|escribió|ha scritto|schreef|skrev).{0,80}:"
    r"|(?:from|von|de|da|van):\s.+@.+"
    r")\s*$",
    re.IGNORECASE,
)


def parts_of(text: str) -> tuple[str, str]:
    """Return what somebody wrote, and the quoted history behind or around it ("" for none).

    Who answers between the quoted lines has written all of it: only what is quoted at the end is history.
    """
    lines = text.replace("\r\n", "\n").split("\n")
    cut = len(lines)
    for index, (line, joined) in enumerate(_with_next(lines)):
        if index and (_BEGINS.match(line.strip()) or _BEGINS.match(joined.strip())):
            cut = index
            break
    if cut == len(lines):
        cut = _quoted_from(lines)
    said = "\n".join(lines[:cut]).rstrip()
    return (said, "\n".join(lines[cut:]).strip()) if said.strip() else (text.strip(), "")


def _with_next(lines: list[str]) -> Iterator[tuple[str, str]]:
    """Yield each line, and it with the next one: programs break "On … wrote:" in two."""
    for index, line in enumerate(lines):
        yield line, f"{line} {lines[index + 1]}" if index + 1 < len(lines) and len(line) < 200 else line


def _quoted_from(lines: list[str]) -> int:
    """Return the line from which on there is nothing but quoted ones."""
    cut = len(lines)
    while cut and (not lines[cut - 1].strip() or lines[cut - 1].startswith(">")):
        cut -= 1
    return cut if any(line.startswith(">") for line in lines[cut:]) else len(lines)
