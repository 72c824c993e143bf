"""Errors whose text is a sentence for the person who asked: what was wrong and what to do."""

from __future__ import annotations

from enum import Enum


class FusionError(Exception):
    """A mistake or a limit that the visitor can do something about. Anything else is a defect."""


class Refusal(str, Enum):
    """Why one file cannot be used.

    | code           | the file                                                                                 |
    |----------------|------------------------------------------------------------------------------------------|
    | not_readable   | does not exist, is a folder, or may not be opened                                        |
    | empty          | has no bytes                                                                             |
    | too_many_bytes | has more than 200 MB, or texts and profiles that unpack to more than 1 MB each, or 64 MB |
    | unknown_format | is no JPEG, PNG, WebP, TIFF, BMP, HEIC, AVIF or camera RAW, by its content               |
    | too_small      | has a side of less than 16 pixels                                                        |
    | too_large      | has more than 50 megapixels, or a side of more than 12,000 pixels                        |
    | several_frames | holds several frames or pages                                                            |
    | too_many_scans | is a JPEG of more than 100 scans                                                         |
    | unsupported    | is of a known format, but holds what is not read: other colours, radiance, RAW           |
    | damaged        | breaks off, or does not hold what its format demands                                     |
    | out_of_memory  | needs more than 1 GB while it is decoded, or more than there is                          |
    | too_slow       | takes more than 10 seconds                                                               |
    | crashed        | made its decoder crash, or the decoder was killed, or could not be started               |
    """

    NOT_READABLE = "not_readable"
    EMPTY = "empty"
    TOO_MANY_BYTES = "too_many_bytes"
    UNKNOWN_FORMAT = "unknown_format"
    TOO_SMALL = "too_small"
    TOO_LARGE = "too_large"
    SEVERAL_FRAMES = "several_frames"
    TOO_MANY_SCANS = "too_many_scans"
    UNSUPPORTED = "unsupported"
    DAMAGED = "damaged"
    OUT_OF_MEMORY = "out_of_memory"
    TOO_SLOW = "too_slow"
    CRASHED = "crashed"


class ImageError(FusionError):
    """A file is not a picture that can be used, or two pictures do not make an exposure pair."""

    def __init__(self, sentence: str, code: Refusal | None = None) -> None:
        super().__init__(sentence)
        self.code = code
        """Why one file was refused; None where the fault is not in one file."""


class WeightsError(FusionError):
    """A method's weights are missing, damaged, or do not fit its network."""


class NotEnoughMemoryError(FusionError):
    """The picture takes more memory than there is, however it is cut up."""


class DatasetError(FusionError):
    """A folder of pictures, or a file beside them, is missing, damaged or not laid out as it must be."""
