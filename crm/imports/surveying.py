"""What a whole column says: how its days and numbers are meant, which of its words nobody here knows. No I/O.

A choice that belongs to the column is not made cell by cell: `03/04/1991` beside `25/12/1990` has its day first. Where the
column cannot tell, and for words of other programs, a person is asked; the answers are part of the import.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from crm.contactfields import FIELDS
from crm.enums import FieldType
from crm.fieldtypes import Definition, FieldError, Reading, date_formats_fitting, decimal_marks_fitting
from crm.fieldtypes import parse as parse_custom
from crm.imports import vocabulary
from crm.imports.mapping import CUSTOM, OWNER, WISHES
from crm.imports.reading import CellError, CellNumber
from crm.imports.rowplan import ANY_WORD, Answers, order_of, wish_says_yes, word_meaning, word_of

EXAMPLES = 3
MAX_WORDS = 100  # asked about in one column; beyond, one answer holds for all of them
MAX_WISH_WORDS = 20
_NUMBERS = (FieldType.NUMBER, FieldType.MONEY)
_DAYS = (FieldType.DATE, FieldType.DATE_TIME)


@dataclass(slots=True)
class _Choice:
    """Evidence of one column for one of two readings."""

    sure: Counter[str] = field(default_factory=Counter)
    weak: Counter[str] = field(default_factory=Counter)
    unsure: list[str] = field(default_factory=list)  # examples of cells that could be either

    def decided(self) -> str:
        """Return what the cells that can be read in one way only agree on; empty where there are none or they disagree."""
        for votes in (self.sure, self.weak):
            if votes:
                return next(iter(votes)) if len(votes) == 1 else ""
        return ""


@dataclass(slots=True)
class _Words:
    """Words of one column that mean nothing here, with how often they occur and how they were first written."""

    limit: int
    counts: Counter[str] = field(default_factory=Counter)
    texts: dict[str, str] = field(default_factory=dict)

    def add(self, raw: str) -> None:
        word = word_of(raw)
        if word not in self.texts and len(self.texts) >= self.limit:
            word, raw = ANY_WORD, "Anything else"
        self.counts[word] += 1
        self.texts.setdefault(word, " ".join(raw.split())[:80])


class Survey:
    """Fed with every row of a file; afterwards `decided`, `questions` and `left_out` say what it found."""

    def __init__(
        self,
        mapping: Sequence[str],
        headers: Sequence[str],
        *,
        fields: Sequence[Definition],
        reading: Reading,
        owners: Mapping[str, int],
        answers: Answers,
        day_format: str = "",
        decimal_mark: str = "",
        default_mark: str = "",
    ) -> None:
        custom = {CUSTOM + each.key: each for each in fields}
        self._headers = headers
        self._reading = reading
        self._owners = owners
        self._answers = answers
        self._said_order, self._said_mark, self._default_mark = order_of(day_format), decimal_mark, default_mark
        self._targets = dict(enumerate(mapping))
        self._definitions = {position: custom[target] for position, target in enumerate(mapping) if target in custom}
        kinds = {position: FieldType(each.type) for position, each in self._definitions.items()}
        self._days = {
            position: _Choice()
            for position, target in enumerate(mapping)
            if kinds.get(position) in _DAYS or target in WISHES
        }
        self._marks = {
            position: _Choice()
            for position, target in enumerate(mapping)
            if kinds.get(position) in _NUMBERS or target == "value"
        }
        self._words = {
            position: _Words(MAX_WISH_WORDS if target in WISHES else MAX_WORDS)
            for position, target in enumerate(mapping)
            if target in ("status", OWNER, *WISHES)
        }
        self._ignored = {position for position, target in enumerate(mapping) if not target}
        self._filled: set[int] = set()
        self.replaced = 0  # cells with a byte that could not be read
        self.replaced_in: list[tuple[int, str]] = []

    def see(self, number: int, cells: Sequence[str]) -> None:
        for position, choice in self._days.items():
            if raw := _cell(cells, position):
                self._see_day(position, choice, raw)
        for position, choice in self._marks.items():
            if raw := _cell(cells, position):
                self._see_number(position, choice, raw)
        for position, words in self._words.items():
            if (raw := _cell(cells, position)) and not self._knows(position, raw):
                words.add(raw)
        for position in list(self._ignored):
            if _cell(cells, position):
                self._ignored.remove(position)
                self._filled.add(position)
        for position, raw in enumerate(cells):
            if "\ufffd" in raw:
                self.replaced += 1
                if len(self.replaced_in) < EXAMPLES and position < len(self._headers):
                    self.replaced_in.append((number, self._headers[position]))

    def _see_day(self, position: int, choice: _Choice, raw: str) -> None:
        formats = date_formats_fitting(raw)
        orders = {order_of(each) for each in formats} - {""}
        if len(orders) == 1 and len(formats) == 1:
            choice.sure[orders.pop()] += 1
        elif len(orders) > 1 and not self._is_plain(position, raw) and len(choice.unsure) < EXAMPLES:
            choice.unsure.append(raw.strip()[:40])

    def _see_number(self, position: int, choice: _Choice, raw: str) -> None:
        if type(raw) is CellNumber:
            return
        marks = decimal_marks_fitting(raw)
        if len(marks) == 1:
            # `1'234.50` groups in its own way: it says little about what a point means beside it.
            votes = choice.weak if any(mark in raw for mark in "'’ \u00a0\u202f") else choice.sure
            votes[next(iter(marks))] += 1
        elif len(marks) > 1 and not self._is_plain(position, raw) and len(choice.unsure) < EXAMPLES:
            choice.unsure.append(raw.strip()[:40])

    def _is_plain(self, position: int, raw: str) -> bool:
        """Tell whether a cell has one value, whatever the column means."""
        definition = self._definitions.get(position)
        try:
            if definition is not None:
                parse_custom(definition, raw, self._reading)
            elif self._targets[position] == "value":
                FIELDS["value"].parse(raw, self._reading)
            else:
                return True  # of a wish only its day would differ
        except FieldError:
            return False
        return True

    def _knows(self, position: int, raw: str) -> bool:
        target = self._targets[position]
        if word_meaning(self._answers, target, raw) is not None:
            return True
        if target == OWNER:
            return " ".join(raw.split()).casefold() in self._owners
        if target == "status":
            try:
                FIELDS["status"].parse(raw, self._reading)
            except FieldError:
                return False
            return True
        if wish_says_yes(raw) is not None or date_formats_fitting(raw):
            return True
        try:
            FIELDS["do_not_call"].parse(raw, self._reading)
        except FieldError:
            return False
        return True

    # --- what was found ---

    def decided(self) -> dict[str, dict[str, str]]:
        """Return the day's order and the decimal mark of each column, by position, as JSON keeps them."""
        days = {position: self._said_order or choice.decided() for position, choice in self._days.items()}
        marks = {
            position: self._said_mark or choice.decided() or ("" if choice.sure or choice.weak else self._default_mark)
            for position, choice in self._marks.items()
        }
        return {
            "day_orders": {str(position): order for position, order in days.items() if order},
            "decimal_marks": {str(position): mark for position, mark in marks.items() if mark},
        }

    def questions(self) -> list[dict[str, Any]]:
        """Return what has to be asked before anything is imported."""
        decided = self.decided()
        found = []
        days = [p for p, choice in self._days.items() if choice.unsure and str(p) not in decided["day_orders"]]
        if days:
            examples = [each for position in days for each in self._days[position].unsure][:EXAMPLES]
            shapes = sorted(each for each in date_formats_fitting(examples[0]) if order_of(each))
            found.append(self._question("day_format", days, examples, shapes))
        marks = [p for p, choice in self._marks.items() if choice.unsure and str(p) not in decided["decimal_marks"]]
        if marks:
            examples = [each for position in marks for each in self._marks[position].unsure][:EXAMPLES]
            found.append(self._question("decimal_mark", marks, examples, [".", ","]))
        by_target: dict[str, list[int]] = {}
        for position, words in self._words.items():
            if words.texts:
                by_target.setdefault(self._targets[position], []).append(position)
        return found + [self._about_words(target, positions) for target, positions in by_target.items()]

    def _question(self, kind: str, positions: list[int], examples: list[str], choices: list[str]) -> dict[str, Any]:
        headers = [self._headers[position] for position in positions]
        return {"kind": kind, "columns": headers, "examples": examples, "choices": choices}

    def _about_words(self, target: str, positions: list[int]) -> dict[str, Any]:
        words: dict[str, dict[str, Any]] = {}
        for position in positions:
            for word, count in self._words[position].counts.items():
                entry = words.setdefault(word, {"word": word, "text": self._words[position].texts[word], "count": 0})
                entry["count"] += count
        for entry in words.values():
            entry["suggestion"] = vocabulary.likely_status(entry["text"]) if target == "status" else ""
        headers = [self._headers[position] for position in positions]
        ordered = sorted(words.values(), key=lambda entry: (entry["word"] == ANY_WORD, -entry["count"], entry["word"]))
        return {"kind": "words", "target": target, "columns": headers, "words": ordered}

    def left_out(self) -> list[str]:
        """Return the columns that have content and become nothing."""
        return [self._headers[position] for position in sorted(self._filled)]


def _cell(cells: Sequence[str], position: int) -> str:
    raw = cells[position] if position < len(cells) else ""
    return "" if raw.isspace() or type(raw) is CellError else raw
