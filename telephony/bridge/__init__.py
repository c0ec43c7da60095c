"""The conversation between a caller and an agent, as a state machine: events in, effects out. No I/O, no clock.

Theory of operation. `now` is a monotonic time in seconds and comes in with every call; `deadline()` says when
`on_time()` wants to be called at the latest. Audio has a way of its own (`agent_audio`), one call a frame.

    CONNECTING ──Ready──▶ TALKING ──end_call, limit, goodbye──▶ CLOSING ──agent finished──▶ CLOSED
        ▲                    │ Failed, stalled
        └────Reconnect───────┘            (too often: CLOSED, and on to the fallback number or voicemail)

The machine asks its parts, each of which knows one thing: `playback` what the caller hears, `floor` whose turn it is,
`toolcalls` what the agent has asked for, `link` how often the provider was lost, `closing` when a goodbye is over,
`record` what is written down.
"""

from telephony.bridge.machine import Bridge, Phase

__all__ = ["Bridge", "Phase"]
