"""Background work: ids in, one service call, safe to run twice."""

from crm.email.tasks import domains, events, sending, sequences, suppressions

__all__ = ["domains", "events", "sending", "sequences", "suppressions"]
