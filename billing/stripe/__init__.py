"""The payment provider's wire: the only place that knows its client, its shapes and its signatures."""
