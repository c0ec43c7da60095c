"""The project: settings, wiring and the commands that run the product."""
