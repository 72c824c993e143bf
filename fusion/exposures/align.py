"""Registration of hand-held exposures: estimate how the camera moved between them, and undo the movement.

The movement is modelled by a similarity and a perspective with six parameters, which describe a camera that shook while
it looked at something far away. They are fitted to pairs of SIFT features (Lowe, IJCV 2004) of small copies with
equalised histograms, in which both exposures look alike:

1. Match features that fit each other clearly better than any other, and estimate the homography that most matches agree
   on (MAGSAC++, Barath et al., CVPR 2020). It only tells where to search in the next step.
2. Match all features again, each near its predicted position, which finds several times as many matches.
3. Fit the six parameters to these matches by robust least squares. The residuals tell how accurate they are.

A movement is rejected unless it is known to a fraction of a pixel and small enough for a shaking hand. It is also
rejected if edges do not agree better with it than without it, since blooming highlights shift features although nothing
moved. A scene that cannot be registered is fused as it is, and a note says so.
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
from fusion.io.image import ExposurePair, Mask, Photo

Matrix: TypeAlias = NDArray[np.float64]
"""A homography (3, 3) of homogeneous pixel coordinates (x, y, 1)."""
AnyNumber = TypeVar("AnyNumber", np.uint8, np.float32)
Points: TypeAlias = NDArray[np.float64]
"""Coordinates (n, 2): x and y in pixels."""

PROXY_SIDE = 1000
"""Longer side, in pixels, of the copies in which features are searched."""
_FEATURES = 3000
_CONTRAST = 0.01
"""SIFT's contrast threshold. It is low, since the darkest and brightest areas of an exposure have little contrast."""
_CLEAR_RATIO, _LIKELY_RATIO = 0.8, 0.95
"""Lowe's ratio of the best match's distance to the second best's, in the first and in the second matching."""
_SEARCH_RADIUS = 3.0
"""How far from its predicted position a feature is searched in the second matching, in pixels of the copy."""
_LOSS_SCALE = 0.5
"""Residual, in pixels of the copy, beyond which a match counts less and less in the fit."""

LARGEST_SHIFT = 0.15
"""The largest shift, as a share of the longer side."""
LARGEST_TURN = 8.0
"""The largest rotation in degrees."""
LARGEST_SCALE = 0.05
"""The largest change of scale, as its logarithm."""
LARGEST_TILT = 0.05
"""The largest perspective: how much the scale changes from one side of the picture to the other."""
LARGEST_ERROR = 0.75
"""The largest estimated error of a movement in pixels, root mean square over the picture."""
_FEWEST = 30
"""The fewest matches that must agree with the movement to within a pixel of the copy."""
_NO_MOVEMENT = 0.5
"""A movement smaller than this, in pixels, root mean square over the picture, is left alone."""
_GAIN = 0.01
"""The least amount by which a movement must raise the agreement of edges, which is 1 at most."""
_STILL_AGREEMENT = 0.9
"""If edges agree this well as they are, and no movement can be estimated, the camera did not move."""
_WEAKEST_EDGE = 6.0
"""The weakest gradient whose direction counts: the output of Sobel's filter, which is 8 times the slope in levels."""
_VISIBLE = (8, 247)
"""Levels, of 0 to 255, outside which an exposure shows no detail."""


class Motion(NamedTuple):
    """The camera's movement from one exposure to another."""

    matrix: Matrix
    """The homography that maps pixel coordinates of the one to those of the other."""
    error: float
    """The estimated error of the matrix in pixels, root mean square over the picture."""
    features: int
    """How many matches agree with the matrix to within a pixel of the copy."""

    def apply(self, points: Points) -> Points:
        """Map points (n, 2) of the one exposure to the other."""
        return _moved(points, self.matrix)


STILL = Motion(np.eye(3), 0.0, 0)
"""The camera did not move."""


@dataclass(frozen=True)
class Aligned:
    """Exposures after registration."""

    pair: ExposurePair
    motions: tuple[Motion | None, ...]
    """The movement of each exposure, from dark to bright, to the reference; None for one that was not warped."""
    kept: tuple[slice, slice] = (slice(None), slice(None))
    """The rows and columns of the reference that were kept."""


def registered(pair: ExposurePair) -> Aligned:
    """Register all exposures to the middle one, or to the darker one of two, and crop them to what all of them show.

    A note of the returned pair says what was done. If the camera did not move, or its movement is not certain, the
    exposures are returned as they are, the very same tensors.

    >>> from fusion.io.image import load_pair
    >>> pair = load_pair("examples/desk/under.png", "examples/desk/over.png")
    >>> registered(pair).pair is pair  # a tripod held the camera
    True
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
    moved = [found if found and _distance(found, size) > _NO_MOVEMENT else None for found in motions]
    if not any(moved):
        return Aligned(pair, tuple(moved))
    rows, columns = _common([found.matrix for found in moved if found], size)
    if min(rows.stop - rows.start, columns.stop - columns.start) < min(size) / 2:
        note = "The exposures overlap too little to be aligned; they are fused as they are."
        return Aligned(replace(pair, notes=(*pair.notes, note)), (None,) * len(frames))
    warped = [
        (_warped_photo(frame, found.matrix) if found else frame)[:, rows, columns].contiguous()
        for frame, found in zip(frames, moved, strict=True)
    ]
    masks = tuple(
        None if mask is None else (_warped_mask(mask, found.matrix) if found else mask)[rows, columns].contiguous()
        for mask, found in zip(pair.masks, moved if pair.masks else (), strict=True)
    )
    cropped = 1 - (rows.stop - rows.start) * (columns.stop - columns.start) / (size[0] * size[1])
    farthest = max((found for found in moved if found), key=lambda found: _distance(found, size))
    note = f"Aligned: {_in_words(farthest, size)}, {100 * cropped:.1f} % cropped."
    under, *between, over = warped
    return Aligned(
        replace(pair, under=under, over=over, between=tuple(between), notes=(*pair.notes, note), masks=masks),
        tuple(moved),
        (rows, columns),
    )


def motion(one: Photo, other: Photo) -> Motion | None:
    """Estimate how the camera moved from `one` to `other`, both (3, H, W). None if that is not certain."""
    (copy, scale), (other_copy, _) = map(_copy, (one, other))
    still = _agreement(copy, other_copy)
    found = _registered(copy, other_copy)
    if found is None or found.error / scale > LARGEST_ERROR:
        return STILL if still >= _STILL_AGREEMENT else None
    if _agreement(_warped(copy, found.matrix), other_copy) < still + _GAIN:
        return STILL
    enlarge = np.diag([1 / scale, 1 / scale, 1])
    matrix = enlarge @ found.matrix @ np.linalg.inv(enlarge)
    return Motion(matrix / matrix[2, 2], found.error / scale, found.features)


def _neighbours(count: int, middle: int) -> list[tuple[int, int]]:
    """Each exposure paired with the next towards the middle one, from which it differs least in brightness."""
    return [(i, i + 1) for i in range(middle)] + [(i + 1, i) for i in range(middle, count - 1)]


def _chain(steps: dict[tuple[int, int], Motion | None], index: int, middle: int) -> Motion | None:
    """Combine the movements from an exposure to the middle one; None if one is missing, or for the middle one."""
    path = range(index, middle + 1) if index < middle else range(index, middle - 1, -1)
    found = [steps[step] for step in pairwise(path)]
    known = [one for one in found if one]
    if len(known) < len(found) or not found:
        return None
    matrix = np.eye(3)
    for one in known:
        matrix = one.matrix @ matrix
    return Motion(matrix / matrix[2, 2], math.hypot(*(one.error for one in known)), min(one.features for one in known))


def _copy(photo: Photo) -> tuple[NDArray[np.uint8], float]:
    """The luma (h, w), 0 to 255, reduced to at most `PROXY_SIDE` pixels a side, and its scale."""
    import cv2

    grey = (luma(photo)[0] * 255).round().to(torch.uint8).numpy()
    scale = min(1.0, PROXY_SIDE / max(grey.shape))
    if scale < 1:
        grey = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return np.asarray(grey, np.uint8), scale


def _registered(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> Motion | None:
    """Estimate the movement from one copy to another, in their pixels. None if it cannot be estimated."""
    from scipy.spatial.distance import cdist

    with ThreadPoolExecutor(2) as pool:
        (points, descriptions), (other_points, other_descriptions) = pool.map(_features, (one, other))
    if min(len(points), len(other_points)) < _FEWEST:
        return None
    start = _agreed(points, other_points, _matches(descriptions, other_descriptions, _CLEAR_RATIO))
    if start is None:
        return None
    near = cdist(_moved(points, start), other_points) < _SEARCH_RADIUS
    pairs = _matches(descriptions, other_descriptions, _LIKELY_RATIO, near)
    return _fitted(points[pairs[:, 0]], other_points[pairs[:, 1]], start, one.shape)


def _agreement(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """The mean cosine of the angle between the gradients of both copies, where both have an edge: 1 if all edges agree.

    Unlike levels, directions do not depend on the exposure. The result is 0 if no edge is visible in both.
    """
    import cv2

    smooth = [cv2.GaussianBlur(copy.astype(np.float32), (0, 0), 1) for copy in (one, other)]
    slopes = [(cv2.Sobel(plane, -1, 1, 0), cv2.Sobel(plane, -1, 0, 1)) for plane in smooth]
    strengths = [np.hypot(*slope) for slope in slopes]
    visible = np.logical_and.reduce([(plane > _VISIBLE[0]) & (plane < _VISIBLE[1]) for plane in smooth])
    visible &= np.minimum(*strengths) > _WEAKEST_EDGE
    product = sum(a[visible] * b[visible] for a, b in zip(*slopes, strict=True))
    cosine = product / np.maximum(strengths[0][visible] * strengths[1][visible], 1e-6)
    return float(np.mean(cosine)) if cosine.size else 0.0


# Features.


def _features(copy: NDArray[np.uint8]) -> tuple[Points, NDArray[np.float32]]:
    """Positions (n, 2) and descriptors (n, 128) of the features of a copy."""
    import cv2

    equalised = cv2.createCLAHE(4, (8, 8)).apply(cv2.equalizeHist(copy))
    found, descriptions = cv2.SIFT_create(_FEATURES, contrastThreshold=_CONTRAST).detectAndCompute(equalised, None)  # pyright: ignore[reportAttributeAccessIssue, reportCallIssue]
    if descriptions is None:
        return np.empty((0, 2)), np.empty((0, 128), np.float32)
    # RootSIFT (Arandjelovic and Zisserman, CVPR 2012), so that a few large bins do not dominate distances.
    descriptions = np.sqrt(descriptions / np.maximum(descriptions.sum(1, keepdims=True), 1e-9))
    return np.array([point.pt for point in found], np.float64), descriptions


def _matches(
    one: NDArray[np.float32], other: NDArray[np.float32], ratio: float, allowed: NDArray[np.bool_] | None = None
) -> NDArray[np.int64]:
    """Indices (n, 2) of matches: each feature's best one, if its distance is below `ratio` times the second best's.

    `allowed` says which features may be matched with which.
    """
    import cv2

    mask = None if allowed is None else allowed.astype(np.uint8)
    pairs = [
        (best[0].queryIdx, best[0].trainIdx)
        for best in cv2.BFMatcher(cv2.NORM_L2).knnMatch(one, other, 2, mask=mask)
        if best and (len(best) == 1 or best[0].distance < ratio * best[1].distance)
    ]
    return np.array(pairs, np.int64).reshape(-1, 2)


def _agreed(one: Points, other: Points, pairs: NDArray[np.int64]) -> Matrix | None:
    """The homography that most matches agree on; None if there is none."""
    import cv2

    if len(pairs) < 8:
        return None
    start, end = one[pairs[:, 0]].astype(np.float32), other[pairs[:, 1]].astype(np.float32)
    matrix, _ = cv2.findHomography(start, end, cv2.USAC_MAGSAC, 1.5, maxIters=5000, confidence=0.9999)
    # It is None if no four matches agree, although OpenCV's annotations say otherwise.
    return None if matrix is None else np.asarray(matrix, np.float64)  # pyright: ignore[reportUnnecessaryComparison]


# The six parameters: logarithm of the scale, rotation in radians, shift and perspective, relative to the longer side.


def _matrix(parameters: NDArray[np.float64], size: tuple[float, float]) -> Matrix:
    """The homography of six parameters, about the middle of a picture of `size`, (height, width)."""
    growth, turn, right, down, *tilt = parameters
    side = max(size)
    centred = np.array([[1 / side, 0, -size[1] / 2 / side], [0, 1 / side, -size[0] / 2 / side], [0, 0, 1]])
    cosine, sine = math.exp(growth) * math.cos(turn), math.exp(growth) * math.sin(turn)
    matrix = np.linalg.inv(centred) @ [[cosine, -sine, right], [sine, cosine, down], [*tilt, 1]] @ centred
    return matrix / matrix[2, 2]


def _fitted(one: Points, other: Points, start: Matrix, size: tuple[float, float]) -> Motion | None:
    """Fit the movement that maps `one` to `other`, in pixels of the copy. None if it is too large or too few agree."""
    from scipy.optimize import least_squares

    if len(one) < _FEWEST:
        return None
    middle = np.array([[size[1] / 2, size[0] / 2]])
    shift = (_moved(middle, start) - middle)[0] / max(size)
    first = [0.0, math.atan2(start[1, 0], start[0, 0]), *shift, 0.0, 0.0]

    def differences(parameters: NDArray[np.float64]) -> NDArray[np.float64]:
        return (_moved(one, _matrix(parameters, size)) - other).ravel()

    solution = least_squares(differences, first, loss="cauchy", f_scale=_LOSS_SCALE)
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
    parameters: NDArray[np.float64], points: Points, residuals: NDArray[np.float64], size: tuple[float, float]
) -> float:
    """Estimate the error of a fit from its residuals by linear propagation: root mean square over the picture."""

    def jacobian(points: Points) -> NDArray[np.float64]:
        """The derivatives (2 n, 6) of moved points by the parameters."""
        steps = np.eye(6) * 1e-5
        columns = [
            (_moved(points, _matrix(parameters + step, size)) - _moved(points, _matrix(parameters - step, size))) / 2e-5
            for step in steps
        ]
        return np.stack([column.ravel() for column in columns], 1)

    at_points, everywhere = jacobian(points), jacobian(_grid(size))
    variance = float(np.mean(residuals**2)) / 2  # the variance of one coordinate
    covariance = variance * np.linalg.pinv(at_points.T @ at_points)
    return float(np.sqrt(2 * np.mean(np.einsum("ij,jk,ik->i", everywhere, covariance, everywhere))))


# Geometry.


def _moved(points: Points, matrix: Matrix) -> Points:
    """Map points (n, 2) by a homography."""
    homogeneous = points @ matrix[:, :2].T + matrix[:, 2]
    return homogeneous[:, :2] / homogeneous[:, 2:]


def _grid(size: Sequence[float]) -> Points:
    """A grid of 9 x 9 points that covers a picture of `size`, (height, width)."""
    y, x = np.meshgrid(np.linspace(0, size[0], 9), np.linspace(0, size[1], 9), indexing="ij")
    return np.stack((x.ravel(), y.ravel()), 1)


def _distance(found: Motion, size: tuple[int, int]) -> float:
    """Return how far a movement shifts the picture, in pixels, root mean square."""
    points = _grid(size)
    return float(np.sqrt(np.mean(np.sum((found.apply(points) - points) ** 2, 1))))


def _common(matrices: Sequence[Matrix], size: tuple[int, int]) -> tuple[slice, slice]:
    """The rows and columns that every warped exposure covers."""
    height, width = size
    # Stay one pixel inside, since the cubic kernel reads neighbouring pixels.
    corners = np.array([(1, 1), (width - 2, 1), (1, height - 2), (width - 2, height - 2)], np.float64)
    sides = [_moved(corners, matrix) for matrix in matrices]
    left = max(0, *(math.ceil(max(x[0, 0], x[2, 0])) for x in sides))
    top = max(0, *(math.ceil(max(x[0, 1], x[1, 1])) for x in sides))
    right = min(width, *(math.floor(min(x[1, 0], x[3, 0])) + 1 for x in sides))
    bottom = min(height, *(math.floor(min(x[2, 1], x[3, 1])) + 1 for x in sides))
    return slice(top, max(bottom, top)), slice(left, max(right, left))


def _warped(plane: NDArray[AnyNumber], matrix: Matrix) -> NDArray[AnyNumber]:
    """Warp a plane (H, W). Pixels outside it become 0."""
    import cv2

    moved = cv2.warpPerspective(plane, matrix, plane.shape[::-1], flags=cv2.INTER_CUBIC)
    return np.asarray(moved, plane.dtype)


def _warped_photo(photo: Photo, matrix: Matrix) -> Photo:
    """Warp a photograph (3, H, W), clamped to 0 ... 1."""
    return torch.from_numpy(np.stack([_warped(plane, matrix) for plane in photo.numpy()])).clamp_(0, 1)


def _warped_mask(mask: Mask, matrix: Matrix) -> Mask:
    """Warp a mask (H, W). It stays true where all neighbours are true that the photograph's kernel reads."""
    return torch.from_numpy(_warped(mask.numpy().astype(np.float32), matrix) > 0.99)


def _in_words(found: Motion, size: tuple[int, int]) -> str:
    """Describe a movement in words, such as "moved 14 px, turned 0.4°"."""
    points = np.array([[size[1] / 2, size[0] / 2], [size[1] / 2 + 1, size[0] / 2]])
    middle, beside = found.apply(points)
    moved = float(np.hypot(*(middle - points[0])))
    turned = math.degrees(math.atan2(*(beside - middle)[::-1]))
    words = f"moved {moved:.0f} px" if moved >= 9.5 else f"moved {moved:.1f} px"
    return f"{words}, turned {abs(turned):.1f}°" if abs(turned) >= 0.05 else words
