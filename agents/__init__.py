"""Agents and what they may do."""
