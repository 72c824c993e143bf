"""What the photographs of one scene are to each other: aligned, moved, a bracket."""
