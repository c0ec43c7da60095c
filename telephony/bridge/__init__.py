"""The conversation between a caller and an agent, as a state machine: events in, effects out. No I/O, no clock.

Theory of operation. `now` is a monotonic time in seconds and comes in with every call; `deadline()` says when
`on_time()` wants to be called at the latest. Audio has a way of its own (`agent_audio`), one call a frame.

    CONNECTING ──Ready──▶ TALKING ──end_call, limit, goodbye──▶ CLOSING ──agent finished──▶ CLOSED
        ▲                    │ ▲                                   │
        │                    │ └──────────the caller goes on───────┘
        └──Failed, stalled───┘            (too often: CLOSED, and on to the fallback number or voicemail)

Endings compete, and the higher one counts, whichever came first: a limit of length or money, then a transfer, then a
consultation of specialists (which is none: the agent stays), then hanging up. Only the last can be taken back, by a caller
who goes on while the goodbye is spoken: "Wait!" and the conversation is as it was. A transfer stands, because a person can
be told "wait" too; a limit stands, because it is nobody's choice. A noise without words takes nothing back.

The caller's turn begins by voice, a key or typed words, and is the same each time (`_caller_began`): the carrier's buffer
is emptied, the agent's turn is dropped, what was heard of it is written down.

A tool that works while a session is lost goes on working. Its result is written into the next session's instructions and
the caller's last words are put to it again, so that nothing is done twice and no answer is lost.

The machine asks its parts, each of which knows one thing: `playback` what the caller hears, `heard` how much of a sentence
that was, `floor` whose turn it is, `toolcalls` what the agent has asked for, `link` how often the provider was lost,
`closing` when a goodbye is over and which ending counts, `record` what is written down.
"""

from telephony.bridge.machine import Bridge, Phase

__all__ = ["Bridge", "Phase"]
