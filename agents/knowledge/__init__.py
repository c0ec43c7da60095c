"""What an organisation knows: documents cut into passages, and finding those that answer a question."""
