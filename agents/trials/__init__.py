"""Trying agents before callers do: scenarios, conversations by them, and what came of them."""
