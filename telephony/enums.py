from __future__ import annotations

from django.db.models import TextChoices


class CallStatus(TextChoices):
    RINGING = "ringing", "Ringing"
    IN_PROGRESS = "in-progress", "In progress"
    COMPLETED = "completed", "Completed"
    BUSY = "busy", "Busy"
    NO_ANSWER = "no-answer", "No answer"
    FAILED = "failed", "Failed"
    CANCELED = "canceled", "Canceled"

    @property
    def is_final(self) -> bool:
        return self not in OPEN_STATUSES


OPEN_STATUSES = (CallStatus.RINGING, CallStatus.IN_PROGRESS)


class Direction(TextChoices):
    INBOUND = "inbound", "Inbound"
    OUTBOUND = "outbound", "Outbound"
    BROWSER = "browser", "Test call"


class Fault(TextChoices):
    """Who ended a call, or whose fault its end was."""

    CALLER = "caller", "The caller"
    AGENT = "agent", "The agent"
    ORGANISATION = "organisation", "The organisation"
    VOICE_PROVIDER = "voice-provider", "The voice provider"
    CARRIER = "carrier", "The carrier"
    PLATFORM = "platform", "The platform"
    UNKNOWN = "unknown", "Unknown"


class EndedReason(TextChoices):
    """The closed list of how a call can end. FAULTS says who ended it or whose fault it was."""

    CALLER_HUNG_UP = "caller-hung-up", "Caller hung up"
    CALLER_SILENT = "caller-silent", "Caller stayed silent"
    AGENT_HUNG_UP = "agent-hung-up", "Agent said goodbye"
    TRANSFERRED = "transferred", "Transferred to a person"
    TRANSFER_FAILED = "transfer-failed", "Nobody took the transfer"
    VOICEMAIL = "voicemail", "Went to voicemail"
    OPERATOR_HUNG_UP = "operator-hung-up", "Ended by a member"
    LENGTH_LIMIT = "length-limit", "Longest call length reached"
    OUTSIDE_HOURS = "outside-hours", "Outside opening hours"
    TENANT_BUSY = "tenant-busy", "Organisation's call limit reached"
    LINE_INACTIVE = "line-inactive", "Line switched off"
    TENANT_INACTIVE = "tenant-inactive", "Organisation switched off"
    BUDGET_REACHED = "budget-reached", "Budget used up"
    NOT_SUBSCRIBED = "not-subscribed", "No valid subscription"
    INSTALLATION_BUSY = "installation-busy", "Installation's call limit reached"
    PROVIDER_FAILED = "provider-failed", "Voice provider failed"
    PROVIDER_MISSING = "provider-missing", "Voice provider not configured"
    STREAM_LOST = "stream-lost", "Media stream lost"
    STREAM_NEVER_STARTED = "stream-never-started", "Media stream never started"
    CARRIER_BUSY = "carrier-busy", "Line was busy"
    CARRIER_NO_ANSWER = "carrier-no-answer", "Nobody answered"
    CARRIER_FAILED = "carrier-failed", "Carrier could not connect"
    CARRIER_CANCELED = "carrier-canceled", "Canceled before the answer"
    PLATFORM_ERROR = "platform-error", "Fault of the platform"
    UNKNOWN = "unknown", "Unknown"

    @property
    def fault(self) -> Fault:
        return FAULTS[self]


FAULTS: dict[EndedReason, Fault] = {
    EndedReason.CALLER_HUNG_UP: Fault.CALLER,
    EndedReason.CALLER_SILENT: Fault.CALLER,
    EndedReason.AGENT_HUNG_UP: Fault.AGENT,
    EndedReason.TRANSFERRED: Fault.AGENT,
    EndedReason.TRANSFER_FAILED: Fault.ORGANISATION,
    EndedReason.VOICEMAIL: Fault.AGENT,
    EndedReason.OPERATOR_HUNG_UP: Fault.ORGANISATION,
    EndedReason.LENGTH_LIMIT: Fault.ORGANISATION,
    EndedReason.OUTSIDE_HOURS: Fault.ORGANISATION,
    EndedReason.TENANT_BUSY: Fault.ORGANISATION,
    EndedReason.LINE_INACTIVE: Fault.ORGANISATION,
    EndedReason.TENANT_INACTIVE: Fault.ORGANISATION,
    EndedReason.BUDGET_REACHED: Fault.ORGANISATION,
    EndedReason.NOT_SUBSCRIBED: Fault.ORGANISATION,
    EndedReason.INSTALLATION_BUSY: Fault.PLATFORM,
    EndedReason.PROVIDER_FAILED: Fault.VOICE_PROVIDER,
    EndedReason.PROVIDER_MISSING: Fault.PLATFORM,
    EndedReason.STREAM_LOST: Fault.CARRIER,
    EndedReason.STREAM_NEVER_STARTED: Fault.CARRIER,
    EndedReason.CARRIER_BUSY: Fault.CALLER,
    EndedReason.CARRIER_NO_ANSWER: Fault.CALLER,
    EndedReason.CARRIER_FAILED: Fault.CARRIER,
    EndedReason.CARRIER_CANCELED: Fault.CALLER,
    EndedReason.PLATFORM_ERROR: Fault.PLATFORM,
    EndedReason.UNKNOWN: Fault.UNKNOWN,
}


class NextStep(TextChoices):
    """What `call-continue` does once the media stream has ended. Nothing chosen means it ended by accident: resume."""

    NONE = "", "Resume"
    HANG_UP = "hang-up", "Hang up"
    TRANSFER = "transfer", "Transfer"
    FALL_BACK = "fall-back", "Fallback number or voicemail"


class OverBudget(TextChoices):
    """What a caller meets when the organisation's budget is used up."""

    MESSAGE = "message", "Say the sentence and hang up"
    VOICEMAIL = "voicemail", "Say the sentence and take a message"
    TRANSFER = "transfer", "Ring the fallback number"


class EngineName(TextChoices):
    VOICE_AGENT = "voice_agent", "Voice agent"


class Role(TextChoices):
    USER = "user", "Caller"
    ASSISTANT = "assistant", "Agent"


class SummaryStatus(TextChoices):
    PENDING = "pending", "Being written"
    DONE = "done", "Written"
    NOT_CONFIGURED = "not-configured", "No language model is configured"
    NOTHING_SAID = "nothing-said", "Nothing was said"
    FAILED = "failed", "Could not be written"


class RecordingKind(TextChoices):
    CALL = "call", "Call"
    VOICEMAIL = "voicemail", "Voicemail"


class RecordingStatus(TextChoices):
    IN_PROGRESS = "in-progress", "Recording"
    COMPLETED = "completed", "Being fetched"
    STORED = "stored", "Stored"
    ABSENT = "absent", "Nothing was recorded"
    FAILED = "failed", "Could not be fetched"
    DELETED = "deleted", "Deleted after its retention"


class EventKind(TextChoices):
    """Everything about a call worth knowing later."""

    ADMITTED = "admitted", "Answered"
    REFUSED = "refused", "Refused"
    STREAM_STARTED = "stream-started", "Media stream started"
    STREAM_ENDED = "stream-ended", "Media stream ended"
    ENGINE_CONNECTED = "engine-connected", "Agent connected"
    ENGINE_LOST = "engine-lost", "Agent connection lost"
    RECONNECT = "reconnect", "Reconnecting"
    RESUMED = "resumed", "Resumed on another worker"
    BARGE_IN = "barge-in", "Caller interrupted"
    DTMF = "dtmf", "Key pressed"
    SILENCE_PROMPT = "silence-prompt", "Asked whether the caller is there"
    WATCHDOG = "watchdog", "No answer from the agent in time"
    LENGTH_WARNING = "length-warning", "Call length warning"
    BUDGET = "budget", "Budget"
    WARNING = "warning", "Warning"
    ERROR = "error", "Error"
    TOOL_CALL = "tool-call", "Tool called"
    TOOL_RESULT = "tool-result", "Tool answered"
    TOOL_CANCELLED = "tool-cancelled", "Tool call cancelled"
    OPERATOR = "operator", "A member intervened"
    TRANSFER = "transfer", "Transfer"
    TEXT_SENT = "text-sent", "Text message sent"
    SPECIALISTS = "specialists", "Specialists"
    VOICEMAIL = "voicemail", "Voicemail"
    RECORDING = "recording", "Recording"
    CARRIER = "carrier", "Carrier status"
    FRAMES_DROPPED = "frames-dropped", "Audio dropped"
    UNKNOWN_MESSAGE = "unknown-message", "Unknown message ignored"
    ENDED = "ended", "Ended"
