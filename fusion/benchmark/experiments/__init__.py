"""The experiments whose tables the documentation shows."""
