from telephony.models.calls import Call, CallEvent, CallMessage
from telephony.models.lines import Line
from telephony.models.recordings import Recording

__all__ = ["Call", "CallEvent", "CallMessage", "Line", "Recording"]
