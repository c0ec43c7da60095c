"""A carrier: its REST API, and calls that ring a number."""
