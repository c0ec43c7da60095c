"""Stand-ins for OpenAI's chat completions and Anthropic's Messages."""
