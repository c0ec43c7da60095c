"""Which event leads from which stage to which: the whole of it, as a table."""

from __future__ import annotations

from enum import Enum, auto

from agents.collaboration.enums import Stage


class Event(Enum):
    SAID = auto()  # the caller said something that may be hard
    ASKED = auto()  # somebody asked for a specialist
    HARD = auto()
    EASY = auto()
    SPOKEN = auto()  # what we wanted said has been said
    YES = auto()
    NO = auto()
    UNCLEAR = auto()
    SILENCE = auto()  # nobody answered in time
    DONE = auto()
    FAILED = auto()
    TIMED_OUT = auto()
    HUNG_UP = auto()


_I, _D, _R, _A, _C, _S, _E = (
    Stage.IDLE,
    Stage.DETECTING_COMPLEXITY,
    Stage.REQUESTING_CONSENT,
    Stage.AWAITING_CONSENT,
    Stage.COLLABORATING,
    Stage.RESUMING,
    Stage.COMPLETED,
)

# What is not in the table is ignored where it happens.
TRANSITIONS: dict[tuple[Stage, Event], Stage] = {
    (_I, Event.SAID): _D,
    (_I, Event.ASKED): _R,
    (_I, Event.HUNG_UP): _E,
    (_D, Event.SAID): _D,  # the newer sentence is judged instead
    (_D, Event.ASKED): _R,
    (_D, Event.HARD): _R,
    (_D, Event.EASY): _I,
    (_D, Event.FAILED): _I,
    (_D, Event.TIMED_OUT): _I,
    (_D, Event.HUNG_UP): _E,
    (_R, Event.SPOKEN): _A,
    (_R, Event.YES): _C,  # said into our question
    (_R, Event.NO): _S,
    (_R, Event.FAILED): _E,
    (_R, Event.TIMED_OUT): _E,  # the question was never spoken
    (_R, Event.HUNG_UP): _E,
    (_A, Event.YES): _C,
    (_A, Event.NO): _S,
    (_A, Event.UNCLEAR): _A,
    (_A, Event.SILENCE): _S,
    (_A, Event.FAILED): _S,
    (_A, Event.HUNG_UP): _E,
    (_C, Event.DONE): _S,
    (_C, Event.NO): _S,  # "never mind"
    (_C, Event.FAILED): _S,
    (_C, Event.TIMED_OUT): _S,
    (_C, Event.HUNG_UP): _E,
    (_S, Event.SPOKEN): _E,
    (_S, Event.FAILED): _E,
    (_S, Event.TIMED_OUT): _E,
    (_S, Event.HUNG_UP): _E,
    (_E, Event.SAID): _D,
    (_E, Event.ASKED): _R,
    (_E, Event.HUNG_UP): _E,
}
