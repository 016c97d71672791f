"""Faults with real processes, and what has to be true after each."""
