"""Turning templates into messages: Jinja2 in a process of its own, which a hostile template may take down."""
