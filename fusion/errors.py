"""Errors whose text is a sentence for the person who asked: what was wrong and what to do."""


class FusionError(Exception):
    """A mistake or a limit that the visitor can do something about. Anything else is a defect."""


class ImageError(FusionError):
    """A file is not a picture that can be used, or two pictures do not make an exposure pair."""


class WeightsError(FusionError):
    """A method's weights are missing, damaged, or do not fit its network."""


class NotEnoughMemoryError(FusionError):
    """The picture takes more memory than there is, however it is cut up."""


class DatasetError(FusionError):
    """A folder does not have the layout `<scene>/*_A.*` (under) and `<scene>/*_B.*` (over)."""
