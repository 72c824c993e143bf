"""The light of a scene, estimated from exposures whose times and camera are not known.

It is the light that Virtual Bracket renders its exposures from: the brightest photograph's value, and where that clips,
the next darker one's, brought to the same scale by a power law that is fitted wherever both show something. No network
takes part. `fusion.methods.virtual_bracket` describes each step.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from fusion.io.image import Photo
from fusion.methods.virtual_bracket import Rows, columns, light_of, look_at, spread
from fusion.runtime.tiles import by_strips

_COPY = 512
"""Side of the copy on which the exposures are compared, in pixels."""


@torch.inference_mode()
def scene_light(exposures: Sequence[Photo]) -> Tensor:
    """The linear light (3, H, W), from 0 up, of two or more exposures (3, H, W), from dark to bright.

    1 is the light that the brightest exposure shows as white, and a stop more is a factor of 2. Photographs are taken
    for sRGB, whose curve is inverted (IEC 61966-2-1) and goes on above white. Where even the darkest exposure is white,
    there is at least as much light; where a darker exposure shows nothing, the surroundings' light goes on.

    >>> scene = torch.linspace(0.01, 4, 64 * 96).view(1, 64, 96).expand(3, 64, 96)
    >>> def photograph(light):
    ...     return (1.055 * light.clamp(0.0031308, 1) ** (1 / 2.4) - 0.055)
    >>> found = scene_light([photograph(scene / 8), photograph(scene)])
    >>> bool(((found / scene).log2().abs() < 0.25).all())
    True
    """
    frames = [photo[None] for photo in exposures]
    height, width = size = (exposures[0].shape[-2], exposures[0].shape[-1])
    copies = [F.adaptive_avg_pool2d(frame, (min(_COPY, height), min(_COPY, width))) for frame in frames]
    scene = look_at(copies)
    guess = spread(*light_of(copies, copies[:-1], scene))
    smooth = [columns(photo, width) for photo in (*copies[:-1], guess)]

    def rows_of_light(rows: slice, _: slice) -> Tensor:
        place = Rows(rows, height, smooth[0])
        *darker, around = (place.of(photo) for photo in smooth)
        light, known = light_of([frame[..., rows, :] for frame in frames], darker, scene)
        return linear(torch.lerp(torch.maximum(around, light), light, known))

    return by_strips(rows_of_light, size, exposures[0].device)[0]


def linear(values: Tensor) -> Tensor:
    """The light of values in sRGB's encoding, which goes on above white; values below black are black.

    >>> linear(torch.tensor([0.0, 0.5, 1.0])).mul(1e4).round().tolist()
    [0.0, 2140.0, 10000.0]
    """
    values = values.clamp_min(0)
    return torch.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
