"""Mertens against OpenCV's, its gradients, and the cases a pyramid can trip over."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from fusion.io.image import Photo, to_uint8
from fusion.methods.base import Fuser, keep_below_white
from fusion.methods.mertens import METHOD, METHOD_TORCH, exposure_fusion, weight_maps
from fusion.metrics import mef_ssim
from fusion.metrics.picture import Sources
from tests.shared_session import load_pair

EXAMPLES = sorted(path.parent for path in (Path(__file__).resolve().parents[2] / "examples").glob("*/under.png"))


def opencv(burst: Tensor, weights: tuple[float, float, float] = (1, 1, 1)) -> Photo:
    frames = [np.ascontiguousarray(to_uint8(frame)[..., ::-1]) for frame in burst]
    fused = cv2.createMergeMertens(*weights).process(frames)
    return torch.from_numpy(np.ascontiguousarray(fused[..., ::-1])).permute(2, 0, 1).clamp(0, 1)


@pytest.mark.parametrize("scene", EXAMPLES, ids=lambda path: path.name)
def test_equals_opencv_on_the_examples(scene: Path) -> None:
    pair = load_pair(scene / "under.png", scene / "over.png")
    burst = torch.stack((pair.under, pair.over))
    ours, theirs = exposure_fusion(burst), opencv(burst)
    difference = float((ours - theirs).abs().mean()) * 255
    sources = Sources(*map(to_uint8, burst))
    scores = [mef_ssim.METRIC.measure(to_uint8(fused), sources) for fused in (ours, theirs)]
    assert difference <= 0.5, f"mean difference {difference:.3f} of 255"
    assert abs(scores[0] - scores[1]) <= 0.002, f"MEF-SSIM {scores[0]:.4f}, OpenCV's {scores[1]:.4f}"


@pytest.mark.parametrize("weights", [(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (2, 0.5, 1)])
def test_each_weight_is_opencvs(weights: tuple[float, float, float]) -> None:
    # Levels with detail and colour everywhere: no ground so flat that rounding would choose the frame.
    burst = torch.randint(20, 235, (2, 3, 33, 46), generator=torch.Generator().manual_seed(1)) / 255
    contrast, saturation, exposedness = weights
    ours = exposure_fusion(burst, contrast=contrast, saturation=saturation, exposedness=exposedness)
    assert float((ours - opencv(burst, weights)).abs().max()) < 2e-4


@pytest.mark.parametrize("frames", [1, 2, 3, 5])
@pytest.mark.parametrize("size", [(2, 2), (2, 17), (3, 3), (16, 16), (31, 57)])
def test_any_number_of_frames_at_any_size(frames: int, size: tuple[int, int]) -> None:
    burst = torch.rand(frames, 3, *size)
    fused = exposure_fusion(burst)
    assert fused.shape == (3, *size)
    assert bool(((fused >= 0) & (fused <= 1)).all())
    if frames == 1:
        assert torch.allclose(fused, burst[0], atol=1e-5)


def test_three_frames_equal_opencvs() -> None:
    burst = torch.randint(20, 235, (3, 3, 40, 52), generator=torch.Generator().manual_seed(2)) / 255
    assert float((exposure_fusion(burst) - opencv(burst)).abs().max()) < 2e-4


def test_order_of_frames_does_not_matter() -> None:
    burst = torch.rand(3, 3, 40, 31)
    assert torch.allclose(exposure_fusion(burst), exposure_fusion(burst.flip(0)), atol=1e-6)


def test_a_batch_is_its_pictures_one_by_one() -> None:
    burst = torch.rand(2, 4, 3, 20, 24)  # frames, pictures, ...
    together = exposure_fusion(burst)
    apart = torch.stack([exposure_fusion(burst[:, i]) for i in range(4)])
    assert torch.allclose(together, apart, atol=1e-6)


def test_gradients() -> None:
    burst = (torch.rand(2, 3, 5, 6, dtype=torch.float64) * 0.8 + 0.1).requires_grad_()

    # The clamp would hide the gradient of values beyond black and white; the roll-off does not.
    def bent(x: Tensor) -> Tensor:
        return exposure_fusion(x, roll_off=0.1)

    assert torch.autograd.gradcheck(bent, (burst,))


def test_the_ports_gradients_are_finite_where_nothing_weighs() -> None:
    burst = torch.rand(2, 3, 20, 24, generator=torch.Generator().manual_seed(0))
    burst[:, :, :12] = burst[:, :1, :12]  # grey: no saturation, so that all weights are 0
    burst.requires_grad_()
    exposure_fusion(burst, variant="torch").square().sum().backward()
    assert burst.grad is not None
    assert torch.isfinite(burst.grad).all()


def test_half_precision_is_refused() -> None:
    with pytest.raises(ValueError, match="half precision"):
        exposure_fusion(torch.rand(2, 3, 20, 24).half())


def test_gradients_are_finite_on_flat_grey() -> None:
    burst = torch.tensor([0.2, 0.9]).view(2, 1, 1, 1).expand(2, 3, 8, 8).clone().requires_grad_()
    exposure_fusion(burst).sum().backward()
    assert burst.grad is not None
    assert bool(burst.grad.isfinite().all())


def test_roll_off_keeps_the_middle_and_bends_the_ends() -> None:
    burst = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(3)).round()
    clamped, bent = exposure_fusion(burst), exposure_fusion(burst, roll_off=0.05)
    middle = (clamped > 0.05) & (clamped < 0.95)
    assert torch.equal(clamped[middle], bent[middle])
    assert bool(((bent > 0) & (bent < 1)).all())


@pytest.mark.parametrize("shape", [(3, 8, 8), (2, 4, 8, 8), (2, 3, 1, 8)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="expected a burst"):
        exposure_fusion(torch.rand(shape))


def reduced(planes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Frames (N, H, W, C) smoothed by 1 2 1 and halved, with the last sample repeated beyond the border."""
    wide = np.pad(planes, ((0, 0), (1, 1), (1, 1), (0, 0)), "edge")
    smooth = (wide[:, :-2] + 2 * wide[:, 1:-1] + wide[:, 2:]) / 4
    smooth = (smooth[:, :, :-2] + 2 * smooth[:, :, 1:-1] + smooth[:, :, 2:]) / 4
    return smooth[:, ::2, ::2]


def expanded(planes: NDArray[np.float64], size: tuple[int, ...]) -> NDArray[np.float64]:
    """Frames (N, h, w, C) at twice their size, linear between the samples; the last one is repeated."""
    for axis, length in ((1, size[0]), (2, size[1])):
        position = np.minimum(np.arange(length) / 2, planes.shape[axis] - 1)
        before, after = (planes.take(index.astype(int), axis) for index in (np.floor(position), np.ceil(position)))
        planes = (before + after) / 2
    return planes


def port_by_hand(burst: NDArray[np.float64]) -> NDArray[np.float64]:
    """The port's fusion of a burst (N, H, W, 3): four levels, so three reductions. Nothing is clamped."""
    grey = np.pad(burst.mean(-1), ((0, 0), (1, 1), (1, 1)))
    around = grey[:, :-2, 1:-1] + grey[:, 2:, 1:-1] + grey[:, 1:-1, :-2] + grey[:, 1:-1, 2:]
    exposedness = np.exp(-((burst - 0.5) ** 2) / (2 * 0.2)).prod(-1)
    weights = np.abs(around - 4 * grey[:, 1:-1, 1:-1]) * burst.std(-1) * exposedness
    levels = [(burst, (weights / weights.sum(0))[..., None])]
    for _ in range(3):
        levels.append((reduced(levels[-1][0]), reduced(levels[-1][1])))
    small, shares = levels.pop()
    fused = (small * shares).sum(0)
    for frames, shares in reversed(levels):
        size = frames.shape[1:3]
        fused = ((frames - expanded(small, size)) * shares).sum(0) + expanded(fused[None], size)[0]
        small = frames
    return fused


@pytest.mark.parametrize("size", [(29, 44), (64, 48)])
def test_the_port_has_three_reductions(size: tuple[int, int]) -> None:
    burst = torch.rand(3, 3, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) ** 3
    expected = torch.from_numpy(port_by_hand(burst.permute(0, 2, 3, 1).numpy())).permute(2, 0, 1)
    assert float(expected.min()) < 0  # our function clamps; the port's does not
    assert torch.allclose(exposure_fusion(burst, variant="torch"), expected.clamp(0, 1), atol=1e-9)


def test_saturation_does_not_count_where_there_is_one_channel() -> None:
    burst = torch.rand(2, 1, 20, 24, generator=torch.Generator().manual_seed(0))
    for variant in ("paper", "torch"):
        shares = weight_maps(burst, variant=variant)
        assert torch.equal(shares, weight_maps(burst, variant=variant, saturation=0))
        assert float((shares - 0.5).abs().max()) > 0.1  # the port gives all frames the same share


def test_a_contrast_of_rounding_counts_as_none() -> None:
    flat = torch.full((1, 16, 16), 0.5)
    burst = (flat + 1e-7 * torch.rand(1, 16, 16, generator=torch.Generator().manual_seed(0)), flat)
    shares = weight_maps(burst, saturation=0, exposedness=0)
    assert torch.allclose(shares, torch.tensor(0.5))


def test_opencvs_own_default_leaves_exposedness_out() -> None:
    opencvs = cv2.createMergeMertens()
    assert (opencvs.getContrastWeight(), opencvs.getSaturationWeight(), opencvs.getExposureWeight()) == (1, 1, 0)


def test_the_port_stops_after_four_levels() -> None:
    """A white disc in a large black picture: with four levels its surroundings cannot follow; the paper's can."""
    y, x = torch.meshgrid(torch.arange(256.0), torch.arange(256.0), indexing="ij")
    disc = (((y - 128) ** 2 + (x - 128) ** 2) < 60**2).float()
    burst = torch.stack((disc * 0.6 + 0.02, (disc * 0.6 + 0.4).clamp(0, 1)))[:, None].expand(-1, 3, -1, -1)
    burst = (burst + 0.01 * torch.rand(burst.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
    assert not torch.allclose(exposure_fusion(burst), exposure_fusion(burst, variant="torch"), atol=0.05)


@pytest.mark.parametrize("method", [METHOD, METHOD_TORCH], ids=lambda method: method.name)
def test_as_a_method(method: object) -> None:
    assert method in (METHOD, METHOD_TORCH)
    scene = EXAMPLES[0]
    pair = load_pair(scene / "under.png", scene / "over.png")
    chosen = METHOD if method is METHOD else METHOD_TORCH
    variant = "paper" if method is METHOD else "torch"
    direct = exposure_fusion(torch.stack((pair.under, pair.over)), variant=variant)
    assert torch.allclose(Fuser(chosen)(pair), keep_below_white(direct, pair.under), atol=1e-6)
