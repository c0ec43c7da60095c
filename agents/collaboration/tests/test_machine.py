"""Every transition by the table, and whole collaborations on a clock of our own."""

from __future__ import annotations

import itertools
import math

import pytest

from agents.collaboration import effects as fx
from agents.collaboration import machine as m
from agents.collaboration.enums import Outcome, Stage, Trigger
from agents.collaboration.machine import Collaboration
from agents.collaboration.tests.factories import make_rules
from agents.collaboration.transitions import TRANSITIONS, Event

HARD = "How is sales tax reckoned for a shop in two countries?"


class Scene:
    def __init__(self, **rules):
        self.machine = Collaboration(make_rules(**rules))
        self.now = 100.0
        self.effects: list[fx.Effect] = []

    def take(self, effects):
        self.effects += effects
        return self

    def say(self, text):
        return self.take(self.machine.caller_said(text, self.now))

    def rate(self, complexity, asks=False):
        return self.take(self.machine.rated(self.last(fx.Rate).number, complexity, asks, self.now))

    def spoken(self, heard_in=0.0):
        return self.take(self.machine.agent_done(self.now + heard_in, self.now))

    def answer(self, text="It depends."):
        return self.take(self.machine.work_done(self.last(fx.Consult).number, text, self.now))

    def wait(self, seconds):
        """Let time pass as a conversation does: `on_time` whenever it is due."""
        end = self.now + seconds
        while self.machine.deadline() <= end:
            self.now = max(self.now, self.machine.deadline())
            self.take(self.machine.on_time(self.now))
        self.now = end
        return self

    def last(self, kind):
        return next(effect for effect in reversed(self.effects) if isinstance(effect, kind))

    def of(self, kind):
        return [effect for effect in self.effects if isinstance(effect, kind)]

    @property
    def spoken_texts(self):
        return [effect.text for effect in self.of(fx.Speak)]

    @property
    def outcomes(self):
        return [effect.outcome for effect in self.of(fx.Ended)]

    @property
    def stage(self):
        return self.machine.stage


def asked() -> Scene:
    return Scene().say("Can I speak to a specialist about tax?")


def awaiting() -> Scene:
    return asked().spoken()


def working() -> Scene:
    return awaiting().say("Yes please.")


def resuming() -> Scene:
    return working().answer()


def completed() -> Scene:
    return resuming().spoken()


REACH = {
    Stage.IDLE: Scene,
    Stage.DETECTING_COMPLEXITY: lambda: Scene().say(HARD),
    Stage.REQUESTING_CONSENT: asked,
    Stage.AWAITING_CONSENT: awaiting,
    Stage.COLLABORATING: working,
    Stage.RESUMING: resuming,
    Stage.COMPLETED: completed,
}


# --- the table -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", list(Stage))
def test_every_stage_can_be_reached(stage):
    assert REACH[stage]().stage is stage


@pytest.mark.parametrize(("stage", "event"), list(itertools.product(Stage, Event)))
def test_the_table_is_the_whole_truth(stage, event):
    scene = REACH[stage]()
    effects = scene.machine._move(event, scene.now)
    assert scene.stage is TRANSITIONS.get((stage, event), stage)
    if (stage, event) not in TRANSITIONS:
        assert effects == []


@pytest.mark.parametrize("stage", list(Stage))
def test_a_caller_may_hang_up_anywhere(stage):
    scene = REACH[stage]()
    was_busy = scene.machine.is_busy
    before = len(scene.outcomes)
    scene.take(scene.machine.hung_up(scene.now))
    assert scene.stage is Stage.COMPLETED
    assert len(scene.outcomes) == before + was_busy
    if was_busy and stage is not Stage.RESUMING:
        assert scene.outcomes[-1] is Outcome.HUNG_UP
    assert scene.machine.deadline() == math.inf
    scene.take(scene.machine.hung_up(scene.now))  # once is enough
    assert len(scene.outcomes) == before + was_busy


@pytest.mark.parametrize("stage", [stage for stage in Stage if stage not in (Stage.IDLE, Stage.COMPLETED)])
def test_every_stage_ends_by_itself(stage):
    scene = REACH[stage]()
    scene.wait(120)
    assert scene.stage in (Stage.IDLE, Stage.COMPLETED)
    assert scene.machine.deadline() == math.inf


@pytest.mark.parametrize("stage", list(Stage))
def test_a_provider_that_fails_leaves_nobody_waiting(stage):
    scene = REACH[stage]()
    scene.take(scene.machine.agent_lost(scene.now))
    if stage is Stage.COLLABORATING:
        assert scene.stage is stage  # the work goes on
        scene.answer()
        assert scene.stage is Stage.RESUMING
    else:
        assert scene.stage in (stage, Stage.COMPLETED)
        assert not scene.machine.holds_the_floor
    scene.wait(120)
    assert scene.stage in (Stage.IDLE, Stage.COMPLETED)


# --- how it begins ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["I want an EXPERT agent!", "Haben Sie jemand, der sich auskennt?"])
def test_a_caller_who_asks_is_asked_back_at_once(text):
    scene = Scene().say(text)
    began = scene.last(fx.Began)
    assert (began.trigger, began.complexity) == (Trigger.CALLER, None)
    assert scene.spoken_texts == ["May I ask a specialist? It takes 30 seconds."]
    assert scene.last(fx.Pause).note == "Wait."
    assert scene.of(fx.Rate) == []


def test_a_short_request_takes_its_subject_from_the_sentence_before():
    scene = Scene(offers_by_complexity=False).say("I have a question about my pension.").say("An expert agent!")
    assert scene.last(fx.Began).question == "I have a question about my pension. An expert agent!"


@pytest.mark.parametrize(("complexity", "begins"), [(0.0, False), (0.69, False), (0.7, True), (1.0, True)])
def test_a_hard_question_by_the_moderators_score(complexity, begins):
    scene = Scene().say(HARD).rate(complexity)
    assert bool(scene.of(fx.Began)) is begins
    if begins:
        began = scene.last(fx.Began)
        assert (began.trigger, began.complexity, began.question) == (Trigger.COMPLEXITY, complexity, HARD)


def test_a_model_that_hears_a_wish_for_a_specialist_is_believed():
    scene = Scene().say("Is there nobody with you who has studied this?").rate(0.1, asks=True)
    assert scene.last(fx.Began).trigger is Trigger.CALLER


def test_the_agent_may_ask_too_and_not_twice():
    scene = Scene()
    scene.take(scene.machine.agent_asked("What is due?", scene.now))
    assert scene.last(fx.Began).trigger is Trigger.AGENT
    scene.take(scene.machine.agent_asked("And then?", scene.now))
    assert len(scene.of(fx.Began)) == 1


def test_little_is_not_judged_and_nothing_where_nobody_offers():
    assert Scene().say("Hello there you").of(fx.Rate) == []
    assert Scene(offers_by_complexity=False).say(HARD).of(fx.Rate) == []


def test_a_newer_sentence_is_judged_instead():
    scene = Scene().say(HARD)
    first = scene.last(fx.Rate).number
    scene.say("And what about customs duties then?")
    assert scene.take(scene.machine.rated(first, 1.0, False, scene.now)).of(fx.Began) == []
    scene.rate(0.9)
    assert scene.last(fx.Began).question == "And what about customs duties then?"


def test_a_judgement_that_fails_or_is_late_changes_nothing():
    scene = Scene().say(HARD)
    number = scene.last(fx.Rate).number
    scene.take(scene.machine.rating_failed(number, scene.now))
    assert scene.stage is Stage.IDLE
    scene = Scene().say(HARD).wait(m.RATING_LIMIT_S + 0.1)
    assert scene.stage is Stage.IDLE
    assert scene.rate(1.0).of(fx.Began) == []


# --- consent ---------------------------------------------------------------------------------------------------------


def test_yes_has_them_work_and_the_caller_keeps_hearing_somebody():
    scene = working()
    assert scene.last(fx.Moved) == fx.Moved(Stage.COLLABORATING, "Yes please.")
    assert scene.last(fx.Consult).question.startswith("Can I speak to a specialist")
    scene.wait(20)
    assert scene.spoken_texts[1:] == ["One moment.", "Nearly there.", "Nearly there."]
    assert [effect.behavior for effect in scene.of(fx.Speak)] == ["queue", "interrupt", "queue", "queue"]


@pytest.mark.parametrize("words", ["No.", "No thanks", "never mind then", "I'm not sure"])
def test_no_is_no(words):
    scene = awaiting().say(words)
    assert scene.of(fx.Consult) == []
    assert scene.spoken_texts[-1] == "Then let us go on."
    assert scene.of(fx.Release)
    scene.spoken()
    assert scene.outcomes == [Outcome.DECLINED]


def test_who_said_no_is_not_offered_again_but_may_ask():
    scene = awaiting().say("No.").spoken().say(HARD)
    assert scene.of(fx.Rate) == []
    scene.say("An expert agent after all, please")
    assert scene.stage is Stage.REQUESTING_CONSENT


def test_silence_is_no_ten_seconds_after_the_question_was_heard():
    scene = asked().spoken(heard_in=4.0)
    scene.wait(13.9)
    assert scene.stage is Stage.AWAITING_CONSENT
    scene.wait(0.2)
    assert scene.stage is Stage.RESUMING
    scene.spoken()
    assert scene.outcomes == [Outcome.UNANSWERED]
    assert scene.of(fx.Consult) == []


def test_who_has_begun_to_answer_is_let_finish_once():
    scene = awaiting().wait(9.5)
    scene.machine.caller_started(scene.now)
    scene.wait(3)
    assert scene.stage is Stage.AWAITING_CONSENT
    scene.machine.caller_started(scene.now)
    scene.wait(3.1)
    assert scene.stage is Stage.RESUMING


def test_what_no_phrase_explains_a_model_may():
    scene = awaiting().say("Knock yourself out")
    judge = scene.last(fx.Judge)
    assert scene.stage is Stage.AWAITING_CONSENT
    scene.take(scene.machine.judged(judge.number, "unclear", judge.text, scene.now))
    assert scene.stage is Stage.AWAITING_CONSENT
    scene.take(scene.machine.judged(judge.number, "yes", judge.text, scene.now))
    assert scene.last(fx.Moved) == fx.Moved(Stage.COLLABORATING, "Knock yourself out")


def test_a_model_that_is_late_is_not_heard_any_more():
    scene = awaiting().say("Knock yourself out")
    number = scene.last(fx.Judge).number
    scene.wait(11)
    scene.take(scene.machine.judged(number, "yes", "", scene.now))
    assert scene.of(fx.Consult) == []


def test_an_answer_into_our_question_counts():
    assert asked().say("Yes!").stage is Stage.COLLABORATING


def test_a_question_that_is_never_spoken_is_given_up():
    scene = asked().wait(m.SPEAKING_LIMIT_S + 0.1)
    assert scene.outcomes == [Outcome.NOT_ASKED]
    assert scene.of(fx.Release)


# --- the work and its end --------------------------------------------------------------------------------------------


def test_the_answer_is_given_to_the_agent_which_says_it_in_its_own_words():
    scene = resuming()
    give = scene.last(fx.Give)
    assert give.note == "They say: It depends."
    assert give.turn == "(My question was: Can I speak to a specialist about tax?)"
    scene.spoken()
    assert scene.outcomes == [Outcome.ANSWERED]
    assert scene.of(fx.Release) == []  # the answer stays in what the agent knows


def test_nobody_who_can_help_costs_a_sentence():
    scene = working()
    scene.take(scene.machine.work_failed(scene.last(fx.Consult).number, scene.now))
    assert scene.spoken_texts[-1] == "Nobody could help."
    assert scene.of(fx.Release)
    scene.spoken()
    assert scene.outcomes == [Outcome.FAILED]


def test_thirty_seconds_and_no_more():
    scene = working().wait(29.9)
    assert scene.stage is Stage.COLLABORATING
    scene.wait(0.2)
    assert scene.spoken_texts[-1] == "Nobody could help."
    assert scene.of(fx.CancelWork)
    scene.answer("Too late.").spoken()
    assert scene.of(fx.Give) == []
    assert scene.outcomes == [Outcome.TOO_SLOW]


def test_who_changes_their_mind_is_let_go():
    scene = working().say("never mind")
    assert scene.of(fx.CancelWork)
    assert scene.spoken_texts[-1] == "Then let us go on."
    scene.spoken()
    assert scene.outcomes == [Outcome.WITHDRAWN]


def test_small_talk_while_they_work_changes_nothing():
    scene = working().say("Yes, it is raining here")
    assert scene.stage is Stage.COLLABORATING
    assert len(scene.of(fx.Consult)) == 1


def test_one_after_the_other_without_anything_of_the_first_in_the_second():
    scene = completed().say("And now an expert agent for cars please").spoken().say("Sure")
    first, second = scene.of(fx.Consult)
    assert second.question == "And now an expert agent for cars please"
    scene.take(scene.machine.work_done(first.number, "Of the first.", scene.now))
    assert scene.stage is Stage.COLLABORATING
    scene.answer("Of the second.")
    assert scene.last(fx.Give).note == "They say: Of the second."


def test_silence_is_in_order_only_while_somebody_is_waited_for():
    assert not Scene().machine.holds_the_floor
    for reach in (asked, awaiting, working):
        assert reach().machine.holds_the_floor
    assert not resuming().machine.holds_the_floor


def test_without_sentences_for_waiting_nothing_is_said():
    scene = Scene(waiting_texts=()).say("An expert agent please").spoken().say("yes").wait(25)
    assert len(scene.spoken_texts) == 1
