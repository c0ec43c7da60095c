"""The verbs of telephony."""
