from telephony.models.calls import Call, CallEvent, CallMessage
from telephony.models.lines import Line
from telephony.models.recordings import Recording
from telephony.models.texts import TextMessage

__all__ = ["Call", "CallEvent", "CallMessage", "Line", "Recording", "TextMessage"]
