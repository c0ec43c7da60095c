"""The verbs of contacts' payments."""
