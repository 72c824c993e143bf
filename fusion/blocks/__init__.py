"""Layers that two or more networks share."""
