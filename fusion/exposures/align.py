"""Registration of hand-held exposures: what the camera moved between them is found and taken back, or left alone.

A similarity and a perspective, six numbers, as a camera that shook while it looked at something far away. They are
fitted to pairs of SIFT features (Lowe, IJCV 2004) of equalised small copies, in which both exposures look alike:

1. features that are each other's clear favourites, and the homography that most of them agree on (MAGSAC++, Barath et
   al., CVPR 2020), which only says where to look again;
2. all features again, each near the place where it should be, which finds several times as many;
3. the six numbers by robust least squares over these. How well they are known follows from the residuals.

A movement is refused unless it is known to a fraction of a pixel and small enough for a shaking hand; and left alone
where edges do not agree better with it than without: highlights that bloom shift features, yet nothing moved. A scene
that cannot be registered is fused as it is, and the notes say so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple, TypeAlias, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from fusion.io.colour import luma
from fusion.io.image import ExposurePair, Photo

Matrix: TypeAlias = NDArray[np.float64]
"""(3, 3), of homogeneous pixel coordinates (x, y, 1)."""
AnyNumber = TypeVar("AnyNumber", np.uint8, np.float32)
Points: TypeAlias = NDArray[np.float64]
"""(n, 2): x, y in pixels."""

PROXY_SIDE = 1000
"""Longest side, in pixels, of the copies in which features are looked for."""
_FEATURES = 3000
_FAINTEST = 0.01
"""Contrast of the weakest feature: low, since an exposure's dark or bright end has little."""
_CLEAR, _LIKELY = 0.8, 0.95
"""Distance of a feature's best partner over that of the second best: at first, and near where it should be."""
_NEAR = 3.0
"""Pixels of the copy."""
_SPREAD = 0.5
"""Pixels of the copy beyond which a pair of features counts less and less."""

LARGEST_SHIFT = 0.15
"""Of the longer side."""
LARGEST_TURN = 8.0
"""Degrees."""
LARGEST_SCALE = 0.05
LARGEST_TILT = 0.05
"""What the perspective changes in scale from one side of the picture to the other."""
LARGEST_ERROR = 0.75
"""Pixels: what the warp may be wrong by, as far as the residuals tell, on average over the picture."""
_FEWEST = 30
"""Pairs of features that agree to a pixel of the copy."""
_STILL = 0.5
"""Pixels, root mean square over the picture: a smaller movement is none."""
_GAIN = 0.01
"""By how much a movement must make edges agree better, of 1 at most."""
_AGREE = 0.9
"""Where edges agree as well as this without, exposures that give no movement are taken to have none."""
_EDGE = 6.0
"""Weakest gradient that has a direction, in levels of 255 times 8."""
_SEEN = (8, 247)
"""Levels of 255 beyond which an exposure shows nothing."""


class Motion(NamedTuple):
    """How one exposure lies on another."""

    matrix: Matrix
    """Takes pixel coordinates of the one to those of the other."""
    error: float
    """Root mean square over the picture, in pixels, of what the matrix may be wrong by."""
    features: int
    """Pairs of features that agree to a pixel of the copy."""

    def of(self, points: Points) -> Points:
        """Where points of the one lie on the other."""
        return _moved(points, self.matrix)


STILL = Motion(np.eye(3), 0.0, 0)
"""Nothing moved."""


@dataclass(frozen=True)
class Aligned:
    """A pair after registration."""

    pair: ExposurePair
    motions: tuple[Motion | None, ...]
    """Of each exposure, dark to bright, onto the reference; None where it was left as it is."""
    kept: tuple[slice, slice] = (slice(None), slice(None))
    """Rows and columns of the reference that are left."""


def registered(pair: ExposurePair) -> Aligned:
    """All exposures registered onto the middle one (of two, the darker), cropped to what all of them show.

    Exposures that did not move come back as they are, the same tensors. The notes of the pair tell what was done.
    """
    frames = pair.frames
    middle = (len(frames) - 1) // 2
    steps = {(one, other): motion(frames[one], frames[other]) for one, other in _neighbours(len(frames), middle)}
    motions = [_chain(steps, index, middle) for index in range(len(frames))]
    failed = [index for index, found in enumerate(motions) if index != middle and found is None]
    if failed:
        which = "The exposures" if len(frames) == 2 else f"{len(failed)} of the {len(frames)} exposures"
        note = f"{which} could not be aligned with certainty, so they are fused as they are."
        return Aligned(replace(pair, notes=(*pair.notes, note)), (None,) * len(frames))
    size = pair.size
    moved = [found if found and _distance(found, size) > _STILL else None for found in motions]
    if not any(moved):
        return Aligned(pair, tuple(moved))
    rows, columns = _common([found.matrix for found in moved if found], size)
    if min(rows.stop - rows.start, columns.stop - columns.start) < min(size) / 2:
        note = "The exposures overlap too little to be aligned; they are fused as they are."
        return Aligned(replace(pair, notes=(*pair.notes, note)), (None,) * len(frames))
    warped = [
        (_taken_back(frame, found.matrix) if found else frame)[:, rows, columns].contiguous()
        for frame, found in zip(frames, moved, strict=True)
    ]
    cropped = 1 - (rows.stop - rows.start) * (columns.stop - columns.start) / (size[0] * size[1])
    farthest = max((found for found in moved if found), key=lambda found: _distance(found, size))
    note = f"Aligned: {_told(farthest, size)}, {100 * cropped:.1f} % cropped."
    under, *between, over = warped
    return Aligned(
        replace(pair, under=under, over=over, between=tuple(between), notes=(*pair.notes, note)),
        tuple(moved),
        (rows, columns),
    )


def motion(one: Photo, other: Photo) -> Motion | None:
    """How `one` lies on `other`, two photographs (3, H, W) of equal size; None where that is not certain."""
    (copy, scale), (other_copy, _) = map(_copy, (one, other))
    still = _agreement(copy, other_copy)
    found = _registered(copy, other_copy)
    if found is None or found.error / scale > LARGEST_ERROR:
        return STILL if still >= _AGREE else None
    if _agreement(_warped(copy, found.matrix), other_copy) < still + _GAIN:
        return STILL
    enlarge = np.diag([1 / scale, 1 / scale, 1])
    matrix = enlarge @ found.matrix @ np.linalg.inv(enlarge)
    return Motion(matrix / matrix[2, 2], found.error / scale, found.features)


def _neighbours(count: int, middle: int) -> list[tuple[int, int]]:
    """Each exposure and the next towards the middle one: their brightness differs least."""
    return [(i, i + 1) for i in range(middle)] + [(i + 1, i) for i in range(middle, count - 1)]


def _chain(steps: dict[tuple[int, int], Motion | None], index: int, middle: int) -> Motion | None:
    """From an exposure to the middle one, step by step; None where a step is missing, and for the middle one."""
    way = range(index, middle + 1) if index < middle else range(index, middle - 1, -1)
    found = [steps[step] for step in pairwise(way)]
    known = [one for one in found if one]
    if len(known) < len(found) or not found:
        return None
    matrix = np.eye(3)
    for one in known:
        matrix = one.matrix @ matrix
    return Motion(matrix / matrix[2, 2], math.hypot(*(one.error for one in known)), min(one.features for one in known))


def _copy(photo: Photo) -> tuple[NDArray[np.uint8], float]:
    """The luma (H, W), 0 to 255, of at most `PROXY_SIDE` pixels a side, and its scale."""
    import cv2

    grey = (luma(photo)[0] * 255).round().to(torch.uint8).numpy()
    scale = min(1.0, PROXY_SIDE / max(grey.shape))
    if scale < 1:
        grey = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return np.asarray(grey, np.uint8), scale


def _registered(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> Motion | None:
    """How a copy lies on another, in their pixels, if a fit can tell."""
    from scipy.spatial.distance import cdist

    with ThreadPoolExecutor(2) as pool:
        (points, descriptions), (other_points, other_descriptions) = pool.map(_features, (one, other))
    if min(len(points), len(other_points)) < _FEWEST:
        return None
    start = _agreed(points, other_points, _matches(descriptions, other_descriptions, _CLEAR))
    if start is None:
        return None
    near = cdist(_moved(points, start), other_points) < _NEAR
    pairs = _matches(descriptions, other_descriptions, _LIKELY, near)
    return _fitted(points[pairs[:, 0]], other_points[pairs[:, 1]], start, one.shape)


def _agreement(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """Mean cosine between the directions of both copies' gradients, where both have one: 1 where every edge agrees.

    Directions stay the same under any exposure, unlike levels. 0 where there is nothing to compare.
    """
    import cv2

    smooth = [cv2.GaussianBlur(copy.astype(np.float32), (0, 0), 1) for copy in (one, other)]
    slopes = [(cv2.Sobel(plane, -1, 1, 0), cv2.Sobel(plane, -1, 0, 1)) for plane in smooth]
    strengths = [np.hypot(*slope) for slope in slopes]
    shown = np.logical_and.reduce([(plane > _SEEN[0]) & (plane < _SEEN[1]) for plane in smooth])
    shown &= np.minimum(*strengths) > _EDGE
    product = sum(a[shown] * b[shown] for a, b in zip(*slopes, strict=True))
    cosine = product / np.maximum(strengths[0][shown] * strengths[1][shown], 1e-6)
    return float(np.mean(cosine)) if cosine.size else 0.0


# Features.


def _features(copy: NDArray[np.uint8]) -> tuple[Points, NDArray[np.float32]]:
    """Places (n, 2) in a copy, and what is there (n, 128)."""
    import cv2

    alike = cv2.createCLAHE(4, (8, 8)).apply(cv2.equalizeHist(copy))
    found, descriptions = cv2.SIFT_create(_FEATURES, contrastThreshold=_FAINTEST).detectAndCompute(alike, None)  # pyright: ignore[reportAttributeAccessIssue, reportCallIssue]
    if descriptions is None:
        return np.empty((0, 2)), np.empty((0, 128), np.float32)
    # RootSIFT (Arandjelovic and Zisserman, CVPR 2012): distances that a few large bins do not decide.
    descriptions = np.sqrt(descriptions / np.maximum(descriptions.sum(1, keepdims=True), 1e-9))
    return np.array([point.pt for point in found], np.float64), descriptions


def _matches(
    one: NDArray[np.float32], other: NDArray[np.float32], ratio: float, allowed: NDArray[np.bool_] | None = None
) -> NDArray[np.int64]:
    """Pairs (n, 2) of indices: each feature's best partner, where it is clearly better than the second best."""
    import cv2

    mask = None if allowed is None else allowed.astype(np.uint8)
    pairs = [
        (best[0].queryIdx, best[0].trainIdx)
        for best in cv2.BFMatcher(cv2.NORM_L2).knnMatch(one, other, 2, mask=mask)
        if best and (len(best) == 1 or best[0].distance < ratio * best[1].distance)
    ]
    return np.array(pairs, np.int64).reshape(-1, 2)


def _agreed(one: Points, other: Points, pairs: NDArray[np.int64]) -> Matrix | None:
    """The homography that most pairs agree on."""
    import cv2

    if len(pairs) < 8:
        return None
    start, end = one[pairs[:, 0]].astype(np.float32), other[pairs[:, 1]].astype(np.float32)
    matrix, _ = cv2.findHomography(start, end, cv2.USAC_MAGSAC, 1.5, maxIters=5000, confidence=0.9999)
    # None where no four pairs agree, whatever OpenCV's annotations say.
    return None if matrix is None else np.asarray(matrix, np.float64)  # pyright: ignore[reportUnnecessaryComparison]


# The six numbers: logarithm of the scale, turn in radians, shift and perspective over the longer side.


def _matrix(numbers: NDArray[np.float64], size: tuple[float, float]) -> Matrix:
    """About the middle of a picture of `size`, height and width."""
    growth, turn, right, down, *tilt = numbers
    side = max(size)
    centred = np.array([[1 / side, 0, -size[1] / 2 / side], [0, 1 / side, -size[0] / 2 / side], [0, 0, 1]])
    cosine, sine = math.exp(growth) * math.cos(turn), math.exp(growth) * math.sin(turn)
    matrix = np.linalg.inv(centred) @ [[cosine, -sine, right], [sine, cosine, down], [*tilt, 1]] @ centred
    return matrix / matrix[2, 2]


def _fitted(one: Points, other: Points, start: Matrix, size: tuple[float, float]) -> Motion | None:
    """The movement that takes `one` to `other`, if it is certain and a hand's; all in pixels of the copy."""
    from scipy.optimize import least_squares

    if len(one) < _FEWEST:
        return None
    middle = np.array([[size[1] / 2, size[0] / 2]])
    shift = (_moved(middle, start) - middle)[0] / max(size)
    first = [0.0, math.atan2(start[1, 0], start[0, 0]), *shift, 0.0, 0.0]

    def off(numbers: NDArray[np.float64]) -> NDArray[np.float64]:
        return (_moved(one, _matrix(numbers, size)) - other).ravel()

    solution = least_squares(off, first, loss="cauchy", f_scale=_SPREAD)
    growth, turn, right, down, *tilt = solution.x
    plausible = (
        abs(growth) <= LARGEST_SCALE
        and abs(turn) <= math.radians(LARGEST_TURN)
        and math.hypot(right, down) <= LARGEST_SHIFT
        and math.hypot(*tilt) <= LARGEST_TILT
    )
    residuals = np.hypot(*solution.fun.reshape(-1, 2).T)
    close = residuals < 1
    if not plausible or close.sum() < _FEWEST:
        return None
    error = _error(solution.x, one[close], residuals[close], size)
    matrix = _matrix(solution.x, size)
    return Motion(matrix, error, int(close.sum()))


def _error(
    numbers: NDArray[np.float64], points: Points, residuals: NDArray[np.float64], size: tuple[float, float]
) -> float:
    """Root mean square, over the picture, of the movement's error that the residuals of the fit stand for."""

    def slopes(places: Points) -> NDArray[np.float64]:
        """(2 n, 6): how the moved places depend on the numbers."""
        steps = np.eye(6) * 1e-5
        columns = [
            (_moved(places, _matrix(numbers + step, size)) - _moved(places, _matrix(numbers - step, size))) / 2e-5
            for step in steps
        ]
        return np.stack([column.ravel() for column in columns], 1)

    at_points, everywhere = slopes(points), slopes(_grid(size))
    variance = float(np.mean(residuals**2)) / 2  # of one coordinate
    covariance = variance * np.linalg.pinv(at_points.T @ at_points)
    return float(np.sqrt(2 * np.mean(np.einsum("ij,jk,ik->i", everywhere, covariance, everywhere))))


# Geometry.


def _moved(points: Points, matrix: Matrix) -> Points:
    """Points (n, 2) through a homography."""
    homogeneous = points @ matrix[:, :2].T + matrix[:, 2]
    return homogeneous[:, :2] / homogeneous[:, 2:]


def _grid(size: Sequence[float]) -> Points:
    """9 x 9 places all over a picture."""
    y, x = np.meshgrid(np.linspace(0, size[0], 9), np.linspace(0, size[1], 9), indexing="ij")
    return np.stack((x.ravel(), y.ravel()), 1)


def _distance(found: Motion, size: tuple[int, int]) -> float:
    """How far places in the picture moved, in pixels, root mean square."""
    places = _grid(size)
    return float(np.sqrt(np.mean(np.sum((found.of(places) - places) ** 2, 1))))


def _common(matrices: Sequence[Matrix], size: tuple[int, int]) -> tuple[slice, slice]:
    """Rows and columns that every warped exposure fills."""
    height, width = size
    # One pixel further in: the cubic kernel reads beyond its place.
    corners = np.array([(1, 1), (width - 2, 1), (1, height - 2), (width - 2, height - 2)], np.float64)
    sides = [_moved(corners, matrix) for matrix in matrices]
    left = max(0, *(math.ceil(max(x[0, 0], x[2, 0])) for x in sides))
    top = max(0, *(math.ceil(max(x[0, 1], x[1, 1])) for x in sides))
    right = min(width, *(math.floor(min(x[1, 0], x[3, 0])) + 1 for x in sides))
    bottom = min(height, *(math.floor(min(x[2, 1], x[3, 1])) + 1 for x in sides))
    return slice(top, max(bottom, top)), slice(left, max(right, left))


def _warped(plane: NDArray[AnyNumber], matrix: Matrix) -> NDArray[AnyNumber]:
    """A plane (H, W) moved; what it does not show is 0."""
    import cv2

    moved = cv2.warpPerspective(plane, matrix, plane.shape[::-1], flags=cv2.INTER_CUBIC)
    return np.asarray(moved, plane.dtype)


def _taken_back(photo: Photo, matrix: Matrix) -> Photo:
    """A photograph (3, H, W) moved, 0 to 1."""
    return torch.from_numpy(np.stack([_warped(plane, matrix) for plane in photo.numpy()])).clamp_(0, 1)


def _told(found: Motion, size: tuple[int, int]) -> str:
    """The movement in words: "moved 14 px, turned 0.4°"."""
    places = np.array([[size[1] / 2, size[0] / 2], [size[1] / 2 + 1, size[0] / 2]])
    middle, beside = found.of(places)
    moved = float(np.hypot(*(middle - places[0])))
    turned = math.degrees(math.atan2(*(beside - middle)[::-1]))
    words = f"moved {moved:.0f} px" if moved >= 9.5 else f"moved {moved:.1f} px"
    return f"{words}, turned {abs(turned):.1f}°" if abs(turned) >= 0.05 else words
