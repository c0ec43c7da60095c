"""What one organisation sets for all its agents: names for prompts, and the sentences and limits of what they do."""
