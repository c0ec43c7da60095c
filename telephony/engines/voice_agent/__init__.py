"""Deepgram's Voice Agent API (V1): one socket that listens, thinks and speaks."""
