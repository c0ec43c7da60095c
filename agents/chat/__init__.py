"""Text conversations of an organisation's people with its agents."""
