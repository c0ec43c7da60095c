"""Tools an organisation connects itself: requests to its own systems, and MCP servers."""
