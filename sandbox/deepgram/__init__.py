"""A voice agent: listens, thinks by rules or with a configured model, and speaks audibly."""
