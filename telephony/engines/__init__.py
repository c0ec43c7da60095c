"""Voice engines: what listens, thinks and speaks, behind one interface."""
