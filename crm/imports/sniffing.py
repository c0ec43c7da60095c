"""What a file is, from its bytes: no I/O, no Django. Names of files and types sent by browsers prove nothing."""

from __future__ import annotations

import codecs
import csv
import io
from collections import Counter
from dataclasses import dataclass, field

from crm.imports.encodings import EncodingGuess, guess_encoding
from crm.imports.enums import FileKind
from crm.imports.errors import FileError

DELIMITERS = {",": "Comma", ";": "Semicolon", "\t": "Tab", "|": "Vertical bar"}
SAMPLE = 64 * 1024
FOREIGN_SAMPLE = 64 * 1024
_TEXT = "Save the contacts as CSV or XLSX and upload that file."
_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"MZ", "This is a Windows program, not a list of contacts."),
    (b"\x7fELF", "This is a program, not a list of contacts."),
    (b"\xcf\xfa\xed\xfe", "This is a program, not a list of contacts."),
    (b"\xca\xfe\xba\xbe", "This is a program, not a list of contacts."),
    (b"#!", "This is a script, not a list of contacts."),
    (b"%PDF", f"This is a PDF file. {_TEXT}"),
    (
        b"\xd0\xcf\x11\xe0",
        "This is a file of an old version of Excel or Word. Save it as XLSX or CSV and upload that file.",
    ),
    (b"\x1f\x8b\x08", f"This file is compressed (gzip). Unpack it first. {_TEXT}"),
    (b"7z\xbc\xaf", f"This file is compressed (7-Zip). Unpack it first. {_TEXT}"),
    (b"Rar!", f"This file is compressed (RAR). Unpack it first. {_TEXT}"),
    (b"BZh", f"This file is compressed (bzip2). Unpack it first. {_TEXT}"),
    (b"\x89PNG", f"This is a picture. {_TEXT}"),
    (b"\xff\xd8\xff\xe0", f"This is a picture. {_TEXT}"),
    (b"GIF8", f"This is a picture. {_TEXT}"),
    (b"SQLite format 3", f"This is a database. {_TEXT}"),
)
_TEXT_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"{\\rtf", f"This is a text document. {_TEXT}"),
    (b"<!doctype html", f"This is a web page. {_TEXT}"),
    (b"<html", f"This is a web page. {_TEXT}"),
    (b"begin:vcard", f"This is a vCard file. {_TEXT}"),
)
# A file with a few bad bytes among many characters of UTF-8 is UTF-8 that was damaged.
_GOOD_FOR_BAD = 2
_CONTROL = bytes(set(range(32)) - set(b"\t\n\r\x0b\x0c\x1b") | {127})


@dataclass(slots=True)
class Sniffer:
    """Fed with the bytes of a file from its beginning; afterwards it knows its kind and encoding. Holds two samples."""

    sample: bytes = b""
    size: int = 0
    _decoder: codecs.IncrementalDecoder = field(
        default_factory=lambda: codecs.getincrementaldecoder("utf-8")(errors="surrogateescape")
    )
    _good: int = 0  # characters of UTF-8 beyond ASCII
    _bad: int = 0  # bytes that are none
    _foreign: bytes = b""  # lines that are not ASCII, wherever in the file they are
    _rest: bytes = b""  # the line that is not over yet

    def feed(self, data: bytes) -> None:
        """Raises FileError as soon as the file is known to be something else than a list."""
        first = self.size == 0
        self.size += len(data)
        if len(self.sample) < SAMPLE:
            self.sample += data[: SAMPLE - len(self.sample)]
        if first:
            refuse_by_signature(data)
        self._count(self._decoder.decode(data))
        if len(self._foreign) < FOREIGN_SAMPLE:
            *lines, rest = (self._rest + data).split(b"\n")  # never cut inside a character of two bytes
            self._rest = rest[-FOREIGN_SAMPLE:]
            self._foreign += b"".join(line + b"\n" for line in lines if not line.isascii())[:FOREIGN_SAMPLE]

    def _count(self, text: str) -> None:
        if text.isascii():
            return
        bad = sum("\udc80" <= character <= "\udcff" for character in text)
        self._bad += bad
        self._good += sum(not character.isascii() for character in text) - bad

    def kind(self) -> FileKind:
        """Raises FileError for an empty or binary file."""
        if not self.size:
            raise FileError("The file is empty.")
        if self.sample.startswith(b"PK"):
            return FileKind.XLSX
        if not self.encoding().startswith("utf-16"):
            refuse_binary(self.sample)
        return FileKind.CSV

    def encoding(self) -> str:
        return self.guess().encoding

    def guess(self) -> EncodingGuess:
        if wide := _utf16(self.sample):
            return EncodingGuess(wide)
        self._count(self._decoder.decode(b"", final=True))
        if not self._bad or self.sample.startswith(codecs.BOM_UTF8) or self._good >= self._bad * _GOOD_FOR_BAD:
            return EncodingGuess("utf-8")
        foreign = self._foreign
        if len(foreign) >= FOREIGN_SAMPLE:
            foreign = foreign[: foreign.rfind(b"\n")]
        return guess_encoding(foreign + self._rest)


def refuse_by_signature(data: bytes) -> None:
    """Raises FileError for what is known to be no list."""
    for signature, message in _SIGNATURES:
        # Two or three letters may begin a list as well; a program has zero bytes soon after.
        if data.startswith(signature) and (len(signature) > 3 or signature == b"#!" or b"\0" in data[:512]):
            raise FileError(message)
    begin = data[:64].removeprefix(codecs.BOM_UTF8).lstrip().lower()
    for signature, message in _TEXT_SIGNATURES:
        if begin.startswith(signature):
            raise FileError(message)


def refuse_binary(sample: bytes) -> None:
    """A stray control character or two is a hostile or broken cell; many of them are no text."""
    stray = len(sample) - len(sample.translate(None, _CONTROL))
    if stray > 4 and stray > len(sample) // 50:
        raise FileError(f"This is not a text file. {_TEXT}")


def _utf16(sample: bytes) -> str:
    if sample.startswith(codecs.BOM_UTF16_LE):
        return "utf-16-le"
    if sample.startswith(codecs.BOM_UTF16_BE):
        return "utf-16-be"
    # Without a mark: most characters of most lists have one byte that is zero, always on the same side.
    even, odd = sample[:4096:2], sample[1:4096:2]
    if len(even) < 2 or len(odd) < 2:
        return ""
    low, high = even.count(0) / len(even), odd.count(0) / len(odd)
    if high > 0.4 and low < 0.1:
        return "utf-16-le"
    return "utf-16-be" if low > 0.4 and high < 0.1 else ""


def decode_sample(sample: bytes, encoding: str) -> str:
    """Return the sample's text without a byte order mark, up to its last whole line."""
    text = codecs.getincrementaldecoder(encoding)(errors="replace").decode(sample).removeprefix("\ufeff")
    end = max(text.rfind("\n"), text.rfind("\r"))
    return text if len(sample) < SAMPLE or end < 0 else text[: end + 1]


def guess_delimiter(text: str) -> str:
    """Return the mark that cuts most rows into the same number of cells, more than one if possible."""
    best, best_score = ",", 0.0
    declared = text[:7].lower()
    if declared.startswith("sep=") and declared[4:5] in DELIMITERS:  # Excel's own hint, in the first line
        return declared[4:5]
    for delimiter in DELIMITERS:
        widths = _widths(text, delimiter)
        if not widths:
            continue
        width, times = widths.most_common(1)[0]
        # Steady rows count most; among equally steady ones the finer cut.
        score = 0.0 if width == 1 else times / widths.total() + min(width, 50) / 1000
        if score > best_score:
            best, best_score = delimiter, score
    return best


def _widths(text: str, delimiter: str) -> Counter[int]:
    widths: Counter[int] = Counter()
    try:
        for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter):
            if any(cell.strip() for cell in row):
                widths[len(row)] += 1
            if widths.total() >= 200:
                break
    except csv.Error:
        pass  # what was counted until then decides
    return widths
