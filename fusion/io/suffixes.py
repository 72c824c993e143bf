"""Endings of the names of picture files, in lower case. The content of a file, not its name, decides how it is read."""

from __future__ import annotations

JPEG = (".jpg", ".jpeg", ".jpe", ".jfif", ".insp")
HEIF = (".heic", ".heif", ".hif")
PICTURES = (*JPEG, *HEIF, ".avif", ".tif", ".tiff", ".png", ".webp", ".bmp")
"""Endings of pictures that need no development, those that cameras write first."""
RAW = (
    *(".dng", ".nef", ".nrw", ".cr2", ".cr3", ".crw", ".arw", ".sr2", ".raf", ".orf", ".rw2", ".rwl", ".pef", ".srw"),
    *(".3fr", ".fff", ".iiq", ".mrw", ".erf", ".kdc", ".dcr", ".x3f", ".gpr"),
)
"""Endings of camera RAW files."""
KNOWN = (*PICTURES, *RAW)
UNREAD = (".gif", ".jxl", ".jp2", ".j2k", ".jxr", ".mpo", ".psd", ".psb", ".xcf", ".exr", ".hdr", ".svg")
"""Endings of pictures that cannot be read, so that they can be listed."""
