"""Many scenes at once: fuse every bracket of a folder, keep what is finished, and write a report."""
