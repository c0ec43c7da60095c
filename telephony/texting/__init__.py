"""Text messages: conversations with delivery states, wishes, limits, pages and an API."""
