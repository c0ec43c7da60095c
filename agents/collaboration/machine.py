"""Specialists join a call: a state machine. Events in, effects out; no I/O, and time comes in with every call.

    IDLE ──said──▶ DETECTING_COMPLEXITY ──hard──▶ REQUESTING_CONSENT ──spoken──▶ AWAITING_CONSENT ──yes──▶ COLLABORATING
      └────────────asked for by caller or agent────────────▲                            │ no, silence            │ done,
                                                                                        ▼                        │ failed,
                                            COMPLETED ◀──────────spoken────────────── RESUMING ◀─────────────────┘ late

From COMPLETED it may begin again, but who has said no is not offered a specialist again; they may still ask for one.
Work that was ordered carries a number: what comes back late, for a collaboration that is over, says nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from agents.collaboration import effects as fx
from agents.collaboration.enums import Outcome, Stage, Trigger
from agents.collaboration.phrases import Answer, contains, yes_or_no
from agents.collaboration.rules import Rules
from agents.collaboration.transitions import TRANSITIONS, Event

RATING_LIMIT_S = 5.0
SPEAKING_LIMIT_S = 15.0  # for a sentence of ours to be spoken
ANSWERING_GRACE_S = 6.0  # for somebody who has begun to answer when the time is over
RESUMING_LIMIT_S = 20.0
FEWEST_WORDS = 4  # of a sentence that is worth judging


class Collaboration:
    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.stage = Stage.IDLE
        self.question = ""
        self._number = 0
        self._ends_at = math.inf
        self._speaks_again_at = math.inf
        self._waiting_texts = 0
        self._offer_was_refused = False
        self._was_extended = False
        self._outcome: Outcome | None = None
        self._said_before = ""

    @property
    def holds_the_floor(self) -> bool:
        """Whether silence of the caller's and the agent's is as it should be."""
        return self.stage in (Stage.REQUESTING_CONSENT, Stage.AWAITING_CONSENT, Stage.COLLABORATING)

    @property
    def is_busy(self) -> bool:
        return self.stage in (Stage.REQUESTING_CONSENT, Stage.AWAITING_CONSENT, Stage.COLLABORATING, Stage.RESUMING)

    # --- what happens --------------------------------------------------------------------------------------------

    def caller_said(self, text: str, now: float) -> list[fx.Effect]:
        match self.stage:
            case Stage.IDLE | Stage.DETECTING_COMPLEXITY | Stage.COMPLETED:
                return self._consider(text, now)
            case Stage.REQUESTING_CONSENT | Stage.AWAITING_CONSENT:
                return self._take_answer(text, now)
            case Stage.COLLABORATING if self._meaning(text) == "no":
                self._outcome = Outcome.WITHDRAWN
                return [*self._move(Event.NO, now), fx.CancelWork(), *self._say_and_release(self.rules.declined_text, now)]
        return []

    def _consider(self, text: str, now: float) -> list[fx.Effect]:
        question = text if len(text.split()) >= FEWEST_WORDS else f"{self._said_before} {text}".strip()
        self._said_before = text
        if contains(text, self.rules.ask_phrases):
            return self._request(Trigger.CALLER, question, None, now)
        may_offer = self.rules.offers_by_complexity and not self._offer_was_refused
        if not may_offer or len(text.split()) < FEWEST_WORDS:
            return []
        moved = self._move(Event.SAID, now)
        self._number += 1
        self._ends_at = now + RATING_LIMIT_S
        self.question = question
        return [*moved, fx.Rate(self._number, text)]

    def agent_asked(self, question: str, now: float) -> list[fx.Effect]:
        """The agent used its tool. While one collaboration runs, another is not begun."""
        if self.is_busy:
            return []
        return self._request(Trigger.AGENT, question, None, now)

    def rated(self, number: int, complexity: float, asks: bool, now: float) -> list[fx.Effect]:
        if number != self._number or self.stage is not Stage.DETECTING_COMPLEXITY:
            return []
        if asks or complexity >= self.rules.complexity_threshold:
            trigger = Trigger.CALLER if asks else Trigger.COMPLEXITY
            return self._request(trigger, self.question, complexity, now, event=Event.HARD)
        return self._rest(Event.EASY, now)

    def rating_failed(self, number: int, now: float) -> list[fx.Effect]:
        return self._rest(Event.FAILED, now) if number == self._number and self.stage is Stage.DETECTING_COMPLEXITY else []

    def judged(self, number: int, answer: Answer, words: str, now: float) -> list[fx.Effect]:
        return self._take_meaning(answer, words, now) if number == self._number else []

    def caller_started(self, now: float) -> None:
        """Somebody who has begun to answer is let finish, once."""
        if self.stage is Stage.AWAITING_CONSENT and not self._was_extended:
            self._was_extended = True
            self._ends_at = max(self._ends_at, now + ANSWERING_GRACE_S)

    def agent_done(self, heard_at: float, now: float) -> list[fx.Effect]:
        """All of the agent's turn has been sent; the caller has heard it by `heard_at`."""
        if self.stage is Stage.REQUESTING_CONSENT:
            moved = self._move(Event.SPOKEN, now)
            self._was_extended = False
            self._ends_at = max(heard_at, now) + self.rules.consent_s
            return moved
        if self.stage is Stage.RESUMING:
            return self._complete(Event.SPOKEN, now)
        return []

    def work_done(self, number: int, answer: str, now: float) -> list[fx.Effect]:
        if number != self._number or self.stage is not Stage.COLLABORATING:
            return []
        self._outcome = Outcome.ANSWERED
        moved = self._move(Event.DONE, now)
        note = self.rules.result_note.replace("{answer}", answer)
        return [*moved, fx.Give(note, self.rules.resume_text.replace("{question}", self.question))]

    def work_failed(self, number: int, now: float) -> list[fx.Effect]:
        if number != self._number or self.stage is not Stage.COLLABORATING:
            return []
        self._outcome = Outcome.FAILED
        return [*self._move(Event.FAILED, now), *self._say_and_release(self.rules.failed_text, now)]

    def agent_lost(self, now: float) -> list[fx.Effect]:
        """The voice provider failed. Work goes on; what was being asked or said is over."""
        if self.stage not in (Stage.REQUESTING_CONSENT, Stage.AWAITING_CONSENT, Stage.RESUMING):
            return []
        self._outcome = self._outcome or Outcome.INTERRUPTED
        if self.stage is Stage.AWAITING_CONSENT:
            return [*self._move(Event.FAILED, now), fx.Release(), *self._complete(Event.FAILED, now)]
        return [*([fx.Release()] if self.stage is Stage.REQUESTING_CONSENT else []), *self._complete(Event.FAILED, now)]

    def hung_up(self, now: float) -> list[fx.Effect]:
        effects: list[fx.Effect] = (
            [fx.CancelWork()] if self.stage in (Stage.DETECTING_COMPLEXITY, Stage.COLLABORATING) else []
        )
        self._outcome = self._outcome or Outcome.HUNG_UP
        was_busy = self.is_busy
        moved = self._move(Event.HUNG_UP, now)
        return [*effects, *moved, fx.Ended(self._outcome)] if was_busy else effects

    # --- time ----------------------------------------------------------------------------------------------------

    def deadline(self) -> float:
        return min(self._ends_at, self._speaks_again_at)

    def on_time(self, now: float) -> list[fx.Effect]:
        effects: list[fx.Effect] = []
        if now >= self._speaks_again_at and self.stage is Stage.COLLABORATING:
            effects += self._keep_company(now)
        if now >= self._ends_at:
            effects += _LATE[self.stage](self, now)
        return effects

    def _late_rating(self, now: float) -> list[fx.Effect]:
        return [fx.CancelWork(), *self._rest(Event.TIMED_OUT, now)]

    def _late_question(self, now: float) -> list[fx.Effect]:
        self._outcome = Outcome.NOT_ASKED
        return [fx.Release(), *self._complete(Event.TIMED_OUT, now)]

    def _late_answer(self, now: float) -> list[fx.Effect]:
        self._outcome = Outcome.UNANSWERED
        self._offer_was_refused = True
        return [*self._move(Event.SILENCE, now), *self._say_and_release(self.rules.declined_text, now)]

    def _late_work(self, now: float) -> list[fx.Effect]:
        self._outcome = Outcome.TOO_SLOW
        return [
            *self._move(Event.TIMED_OUT, now),
            fx.CancelWork(),
            *self._say_and_release(self.rules.failed_text, now),
        ]

    def _late_end(self, now: float) -> list[fx.Effect]:
        return self._complete(Event.TIMED_OUT, now)

    def _never(self, now: float) -> list[fx.Effect]:
        self._ends_at = math.inf
        return []

    # --- consent -------------------------------------------------------------------------------------------------

    def _request(
        self, trigger: Trigger, question: str, complexity: float | None, now: float, *, event: Event = Event.ASKED
    ) -> list[fx.Effect]:
        effects: list[fx.Effect] = (
            [fx.CancelWork()] if self.stage is Stage.DETECTING_COMPLEXITY and event is Event.ASKED else []
        )
        moved = self._move(event, now)
        self.question, self._outcome = question, None
        self._number += 1
        self._ends_at = now + SPEAKING_LIMIT_S
        text = self.rules.consent_text.replace("{seconds}", str(round(self.rules.work_s)))
        return [
            *effects,
            fx.Began(trigger, question, complexity),
            *moved,
            fx.Pause(self.rules.paused_note),
            fx.Speak(text, "queue"),
        ]

    def _meaning(self, text: str) -> Answer:
        return yes_or_no(text, yes=self.rules.yes_phrases, no=self.rules.no_phrases)

    def _take_answer(self, text: str, now: float) -> list[fx.Effect]:
        meaning = self._meaning(text)
        if meaning == "unclear":
            self._number += 1
            return [*self._move(Event.UNCLEAR, now), fx.Judge(self._number, text)]
        return self._take_meaning(meaning, text, now)

    def _take_meaning(self, answer: Answer, words: str, now: float) -> list[fx.Effect]:
        if self.stage not in (Stage.REQUESTING_CONSENT, Stage.AWAITING_CONSENT) or answer == "unclear":
            return []
        if answer == "no":
            self._outcome = Outcome.DECLINED
            self._offer_was_refused = True
            moved = self._move(Event.NO, now, consent=words)
            return [*moved, *self._say_and_release(self.rules.declined_text, now)]
        moved = self._move(Event.YES, now, consent=words)
        self._number += 1
        self._ends_at = now + self.rules.work_s
        self._waiting_texts = 0
        return [*moved, *self._keep_company(now), fx.Consult(self._number, self.question)]

    def _keep_company(self, now: float) -> list[fx.Effect]:
        """Say the next of the sentences for waiting; the last one is repeated."""
        texts = self.rules.waiting_texts
        self._speaks_again_at = now + self.rules.waiting_s
        if not texts:
            return []
        text = texts[min(self._waiting_texts, len(texts) - 1)]
        self._waiting_texts += 1
        return [fx.Speak(text, "interrupt" if self._waiting_texts == 1 else "queue")]

    # --- moving --------------------------------------------------------------------------------------------------

    def _move(self, event: Event, now: float, *, consent: str = "") -> list[fx.Effect]:
        """Go where the table says; nowhere for what it does not name."""
        target = TRANSITIONS.get((self.stage, event))
        if target is None:
            return []
        was, self.stage = self.stage, target
        if target is not was:
            self._ends_at = now + RESUMING_LIMIT_S if target is Stage.RESUMING else math.inf
            self._speaks_again_at = math.inf
        if target is was or target in (Stage.IDLE, Stage.DETECTING_COMPLEXITY):
            return []  # what callers do not notice, nobody has to read of
        return [fx.Moved(target, consent)]

    def _say_and_release(self, text: str, now: float) -> list[fx.Effect]:
        return [fx.Release(), fx.Speak(text, "interrupt")]

    def _rest(self, event: Event, now: float) -> list[fx.Effect]:
        return self._move(event, now)

    def _complete(self, event: Event, now: float) -> list[fx.Effect]:
        moved = self._move(event, now)
        return [*moved, fx.Ended(self._outcome or Outcome.INTERRUPTED)]


_LATE: dict[Stage, Callable[[Collaboration, float], list[fx.Effect]]] = {
    Stage.IDLE: Collaboration._never,
    Stage.DETECTING_COMPLEXITY: Collaboration._late_rating,
    Stage.REQUESTING_CONSENT: Collaboration._late_question,
    Stage.AWAITING_CONSENT: Collaboration._late_answer,
    Stage.COLLABORATING: Collaboration._late_work,
    Stage.RESUMING: Collaboration._late_end,
    Stage.COMPLETED: Collaboration._never,
}
