"""Durable words: an entry is in Redis before the next one is produced, and in PostgreSQL soon after."""
