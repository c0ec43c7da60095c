"""Calls: how a number answers, what is said, and how it ends."""
