"""E-mail: templates, sending to one or to many, what became of each message, sequences, sending domains."""
