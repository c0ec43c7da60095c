"""REST: contacts, what happened with them, and how they are arranged."""
