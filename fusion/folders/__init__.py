"""Folders of brackets, fused one after the other."""
