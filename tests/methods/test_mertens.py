"""Mertens against OpenCV's, its gradients, and the cases a pyramid can trip over."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from fusion.io.image import Photo, to_uint8
from fusion.methods.base import Fuser
from fusion.methods.mertens import METHOD, METHOD_TORCH, exposure_fusion
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
    assert torch.allclose(Fuser(chosen)(pair), direct, atol=1e-6)
