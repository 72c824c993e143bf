"""Photographs of one scene: which belong together, how they are aligned, and what moved between them."""
