"""The errors that a user can do something about. Each has a sentence that says what is wrong and what helps."""

from __future__ import annotations

from enum import Enum


class FusionError(Exception):
    """A user's mistake, or a limit that the user can avoid. Every other exception is a defect of this program."""


class Refusal(str, Enum):
    """Reasons why a file cannot be used. Each member is a code, which programs can rely on, with a sentence, `meaning`.

    >>> Refusal.EMPTY.value, Refusal.EMPTY.meaning
    ('empty', 'The file has no bytes.')
    """

    meaning: str
    """What is wrong with the file, as a sentence."""

    def __new__(cls, code: str, meaning: str) -> Refusal:
        """Make a member that is equal to its code."""
        member = str.__new__(cls, code)
        member._value_ = code
        member.meaning = meaning
        return member

    NOT_READABLE = "not_readable", "The file does not exist, is a folder, or may not be opened."
    EMPTY = "empty", "The file has no bytes."
    TOO_MANY_BYTES = "too_many_bytes", "The file is too large, or a text or a colour profile in it unpacks to too much."
    UNKNOWN_FORMAT = "unknown_format", "The content is not a JPEG, PNG, WebP, TIFF, BMP, HEIC, AVIF or camera RAW file."
    TOO_SMALL = "too_small", "The picture has too few pixels on one side."
    TOO_LARGE = "too_large", "The picture has too many pixels, or too many on one side."
    SEVERAL_FRAMES = "several_frames", "The file holds several frames or pages."
    TOO_MANY_SCANS = "too_many_scans", "The file is a progressive JPEG with too many scans."
    UNSUPPORTED = (
        "unsupported",
        "The format is known, but this kind of it is not read, such as CMYK or radiance values.",
    )
    DAMAGED = "damaged", "The file ends too early, or does not hold what its format demands."
    OUT_OF_MEMORY = "out_of_memory", "Decoding the file takes more memory than is allowed or free."
    TOO_SLOW = "too_slow", "Decoding the file takes too long."
    CRASHED = "crashed", "The process that decodes the file crashed, was killed, or could not be started."


class ImageError(FusionError):
    """A file is not a usable picture, or several pictures are not exposures of one scene, or one cannot be saved."""

    def __init__(self, sentence: str, code: Refusal | None = None) -> None:
        super().__init__(sentence)
        self.code = code
        """Why one file was refused. None where the fault does not lie in one file."""


class WeightsError(FusionError):
    """The weights of a method are missing or damaged, or do not fit its network."""


class NotEnoughMemoryError(FusionError):
    """The work needs more memory than there is, even in small parts."""


class DatasetError(FusionError):
    """A folder of pictures, or a file beside them, is missing, damaged or not laid out as it must be."""
