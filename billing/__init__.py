"""What everything costs, who may spend how much, and what is charged for it."""
