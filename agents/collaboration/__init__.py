"""Specialists who join a call, with the caller's consent."""
