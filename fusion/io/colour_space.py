"""What the numbers of a file mean as colours, and their conversion to sRGB.

A file says it in one of several ways, of which `meant` takes the one that counts most: code points (cICP in PNG, nclx
in HEIF and AVIF; ITU-T H.273), an ICC profile, an sRGB chunk, gamma and chromaticities (PNG), and Exif (DCF 2.0). A
file that says nothing is sRGB. Sources: PNG, third edition, sections 4.3 (precedence) and 11.3.2 (chunks); ITU-T H.273,
tables 2 and 3 (primaries and transfer characteristics); ITU-R BT.2100, tables 4 and 5 (PQ and HLG); ITU-R BT.2408,
section 2.1 (white at 203 cd/m²) and annex 5 (the curve that brings brighter light into SDR); DCF 2.0 (Adobe RGB).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[Any]
Curve: TypeAlias = Callable[[Floats], Floats]
"""From encoded values, 0 to 1, to light. White is 1, but for HLG, whose light is the scene's, with a peak of 1."""
Gamut: TypeAlias = Literal["srgb", "display-p3"]
"""The primaries of a photograph in memory. The curve of both is that of sRGB."""
Chromaticities: TypeAlias = tuple[float, float, float, float, float, float, float, float]
"""CIE x and y of white, red, green and blue, in the order of PNG's cHRM chunk."""

SDR_WHITE = 203.0
"""Luminance of diffuse white in HDR pictures, in cd/m² (BT.2408, table 1). It becomes the white of sRGB."""
_HLG_PEAK, _HLG_GAMMA = 1000.0, 1.2
"""Nominal peak in cd/m² and system gamma of the display that HLG is shown on (BT.2100, table 5)."""
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
"""Cone responses for the adaptation to another white (ICC.1:2022, annex E)."""
_D65 = (0.3127, 0.329)
_SRGB: Chromaticities = (*_D65, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06)
DISPLAY_P3: Chromaticities = (*_D65, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06)
_BT2020: Chromaticities = (*_D65, 0.708, 0.292, 0.17, 0.797, 0.131, 0.046)
_ADOBE: Chromaticities = (*_D65, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06)
_SMPTE170: Chromaticities = (*_D65, 0.63, 0.34, 0.31, 0.595, 0.155, 0.07)
_PRIMARIES: dict[int, tuple[str, Chromaticities]] = {
    1: ("BT.709", _SRGB),
    2: ("BT.709", _SRGB),  # unspecified
    4: ("BT.470 M", (0.31, 0.316, 0.67, 0.33, 0.21, 0.71, 0.14, 0.08)),
    5: ("BT.470 BG", (*_D65, 0.64, 0.33, 0.29, 0.6, 0.15, 0.06)),
    6: ("BT.601", _SMPTE170),
    7: ("SMPTE 240M", _SMPTE170),
    8: ("film", (0.31, 0.316, 0.681, 0.319, 0.243, 0.692, 0.145, 0.049)),
    9: ("BT.2020", _BT2020),
    10: ("CIE XYZ", (1 / 3, 1 / 3, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0)),
    11: ("DCI-P3", (0.314, 0.351, *DISPLAY_P3[2:])),
    12: ("Display P3", DISPLAY_P3),
    22: ("EBU Tech 3213", (*_D65, 0.63, 0.34, 0.295, 0.605, 0.155, 0.077)),
}
_PQ, _HLG = 16, 18
_STRIP = 1 << 18
"""How many pixels are converted at once, so that a large picture is not held as floating point."""
_NODES = (1 << 16) - 1


def _from_srgb_curve(value: Floats) -> Floats:
    return np.where(value <= 0.04045, value / 12.92, ((np.maximum(value, 0) + 0.055) / 1.055) ** 2.4)


def srgb_curve(light: Floats) -> Floats:
    """Encode light, 0 to 1, as sRGB does (IEC 61966-2-1).

    >>> srgb_curve(np.array([0.0, 0.21404114, 1.0])).round(4).tolist()
    [0.0, 0.5, 1.0]
    """
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * np.maximum(light, 0.0031308) ** (1 / 2.4) - 0.055)


def _from_bt709(value: Floats) -> Floats:
    return np.where(value < 0.081, value / 4.5, ((np.maximum(value, 0) + 0.099) / 1.099) ** (1 / 0.45))


def _from_smpte240(value: Floats) -> Floats:
    return np.where(value < 0.0913, value / 4, ((np.maximum(value, 0) + 0.1115) / 1.1115) ** (1 / 0.45))


def _power(exponent: float, value: Floats) -> Floats:
    return np.maximum(value, 0) ** exponent


def _from_log(decades: float, value: Floats) -> Floats:
    return np.where(value > 0, 10 ** (decades * (value - 1)), 0)


_M1, _M2, _C1, _C2, _C3 = 2610 / 16384, 2523 / 32, 107 / 128, 2413 / 128, 2392 / 128  # BT.2100, table 4


def _from_pq(value: Floats) -> Floats:
    """Light relative to white at 203 cd/m² of values in PQ; BT.2100, table 4."""
    root = np.clip(value, 0, 1) ** (1 / _M2)
    return 10_000 / SDR_WHITE * (np.maximum(root - _C1, 0) / (_C2 - _C3 * root)) ** (1 / _M1)


def _to_pq(light: Floats) -> Floats:
    root = (light * (SDR_WHITE / 10_000)) ** _M1
    return ((_C1 + _C2 * root) / (1 + _C3 * root)) ** _M2


def _from_hlg(value: Floats) -> Floats:
    """The scene's light, 0 to 1, of values in HLG; BT.2100, table 5."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return np.where(value <= 0.5, value * value / 3, (np.exp((value - c) / a) + b) / 12)


_TRANSFERS: dict[int, tuple[str, Curve]] = {
    **dict.fromkeys((1, 6, 14, 15), ("the curve of BT.709", _from_bt709)),
    2: ("the curve of sRGB", _from_srgb_curve),  # unspecified
    4: ("gamma 2.2", partial(_power, 2.2)),
    5: ("gamma 2.8", partial(_power, 2.8)),
    7: ("the curve of SMPTE 240M", _from_smpte240),
    8: ("linear light", partial(_power, 1.0)),
    9: ("logarithmic light", partial(_from_log, 2.0)),
    10: ("logarithmic light", partial(_from_log, 2.5)),
    13: ("the curve of sRGB", _from_srgb_curve),
    _PQ: ("PQ", _from_pq),
    17: ("gamma 2.6", lambda value: 52.37 / 48 * _power(2.6, value)),
    _HLG: ("HLG", _from_hlg),
}


@dataclass(frozen=True)
class ColourSpace:
    """What encoded values from 0 to 1 mean."""

    name: str
    """What it is called in a sentence, such as "Display P3"."""
    curves: tuple[Curve, ...]
    """One curve for all channels, or one for each."""
    matrix: NDArray[np.float64]
    """From its light, RGB, to that of sRGB (3, 3)."""
    light: Literal["SDR", "PQ", "HLG"] = "SDR"
    """Whether the picture may be brighter than white, and in which way it is encoded then."""
    luminance: tuple[float, float, float] = (0.2126, 0.7152, 0.0722)
    """The share of each channel in luminance, which the system gamma of HLG needs."""
    narrow: bool = False
    """Whether black and white are at 16 and 235 of 255 (H.273, video_full_range_flag 0)."""

    @property
    def is_wide(self) -> bool:
        """Whether it has colours that sRGB clearly lacks."""
        return float(self.matrix.min()) < -0.01

    def for_display_p3(self) -> ColourSpace:
        """The space whose `to_srgb` gives Display P3 instead of sRGB."""
        return replace(self, matrix=np.linalg.inv(coded(12, 13).matrix) @ self.matrix)

    @property
    def is_srgb(self) -> bool:
        """Whether it differs from sRGB by no more than half a level of 255."""
        if self.light != "SDR" or self.narrow or np.abs(self.matrix - np.eye(3)).max() > 0.002:
            return False
        values = np.linspace(0, 1, 256)
        return all(np.abs(srgb_curve(curve(values)) - values).max() < 0.5 / 255 for curve in self.curves)

    def to_srgb(self, pixels: NDArray[Any], bits: int) -> tuple[NDArray[Any], int]:
        """Convert greys (H, W) or RGB (H, W, 3) of `bits` bits to sRGB: to 8 bits from 8, to 16 from 9 to 16.

        Floating-point pixels (`bits` of 32) stay floating point. Colours that sRGB lacks are clipped.
        The result may stand in the place of `pixels`, which saves memory.
        """
        if pixels.ndim == 2 and len(self.curves) > 1:
            pixels = np.repeat(pixels[..., None], 3, axis=2)
        tables = None if bits == 32 else self._tables(bits)
        bend = None if self.light == "SDR" else self._bend(pixels, tables)
        kind = np.uint8 if bits == 8 else np.float32 if bits == 32 else np.uint16
        result = pixels if pixels.dtype == kind and pixels.flags.writeable else np.empty(pixels.shape, kind)
        encode = None if bits == 32 else _encoding_table(255 if bits == 8 else 65535).astype(kind)
        for rows in _strips(pixels):
            light = self._light(pixels[rows], tables)
            if bend is not None:
                light *= bend(light)
            if light.ndim == 3:
                light = light @ self.matrix.T.astype(np.float32)
            np.clip(light, 0, 1, out=light)
            if encode is None:
                result[rows] = srgb_curve(light)
            else:
                result[rows] = encode[(np.sqrt(light) * _NODES + 0.5).astype(np.int32)]
        return result, bits if bits in (8, 32) else 16

    def is_bright(self, pixels: NDArray[Any], bits: int) -> bool:
        """Whether a picture holds light that is clearly brighter than white, which has to be compressed."""
        return self.light != "SDR" and self._peak(pixels, self._tables(bits)) > 1.02

    def _tables(self, bits: int) -> list[NDArray[np.float32]]:
        values = np.arange(1 << bits) / ((1 << bits) - 1)
        if self.narrow:
            values = np.clip((values * ((1 << bits) - 1) / (1 << (bits - 8)) - 16) / 219, 0, 1)
        return [curve(values).astype(np.float32) for curve in self.curves]

    def _light(self, pixels: NDArray[Any], tables: list[NDArray[np.float32]] | None) -> NDArray[np.float32]:
        """Light of pixels, in the primaries of this space. White is 1."""
        apply: list[Callable[[Any], Any]] = list(self.curves) if tables is None else [t.__getitem__ for t in tables]
        if len(apply) == 1:
            light = np.asarray(apply[0](pixels), np.float32)
        else:
            light = np.stack([one(pixels[..., at]) for at, one in enumerate(apply)], -1).astype(np.float32)
        if self.light == "HLG":  # from the scene's light to the display's: BT.2100, table 5, HLG OOTF
            y = light @ np.array(self.luminance, np.float32) if light.ndim == 3 else light
            gain = _HLG_PEAK / SDR_WHITE * np.maximum(y, 1e-9) ** np.float32(_HLG_GAMMA - 1)
            light *= gain[..., None] if light.ndim == 3 else gain
        return light

    def _peak(self, pixels: NDArray[Any], tables: list[NDArray[np.float32]] | None) -> float:
        """The brightest channel of the picture, but for one pixel of a thousand, relative to white."""
        step = max(1, int((pixels.shape[0] * pixels.shape[1] / 1e6) ** 0.5))
        light = self._light(pixels[::step, ::step], tables)
        largest = (light.max(-1) if light.ndim == 3 else light).ravel()
        place = int(0.999 * (largest.size - 1))
        return float(np.partition(largest, place)[place])

    def _bend(self, pixels: NDArray[Any], tables: list[NDArray[np.float32]] | None) -> Curve | None:
        """By how much the light of a pixel is multiplied, so that the brightest becomes white (BT.2408, annex 5).

        The curve is applied to the largest channel, and the others follow, so that hues stay. A picture that is not
        brighter than white stays as it is.
        """
        peak = self._peak(pixels, tables)
        if peak <= 1.02:
            return None
        light = np.linspace(0, 1, 4096) ** 4 * peak
        ratio = np.append(1, _compressed(light[1:], peak) / light[1:]).astype(np.float32)

        def factor(light: Floats) -> Floats:
            largest = light.max(-1, keepdims=True) if light.ndim == 3 else light
            place = np.clip(largest / np.float32(peak), 0, 1) ** np.float32(0.25)
            return np.interp(place, np.linspace(0, 1, 4096), ratio).astype(np.float32)

        return factor


def _compressed(light: Floats, peak: float) -> Floats:
    """Light, 0 to `peak`, compressed to 0 ... 1 by the EETF of BT.2408, annex 5, with black at 0."""
    whole = _to_pq(np.array(peak))
    white = float(_to_pq(np.array(1.0)) / whole)
    knee = 1.5 * white - 0.5
    value = _to_pq(light) / whole
    t = np.clip((value - knee) / (1 - knee), 0, 1)
    spline = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee) + (3 * t**2 - 2 * t**3) * white
    return _from_pq(np.where(value < knee, value, spline) * whole)


def _encoding_table(top: int) -> Floats:
    """Values of sRGB, 0 to `top`, by the square root of light, in which steps are about equally large."""
    return np.rint(srgb_curve(np.linspace(0, 1, _NODES + 1) ** 2) * top)


def _strips(pixels: NDArray[Any]) -> Iterator[slice]:
    rows = max(1, _STRIP // pixels.shape[1])
    for top in range(0, len(pixels), rows):
        yield slice(top, top + rows)


def to_xyz(chromaticities: Chromaticities) -> NDArray[np.float64]:
    """From RGB light to CIE XYZ (3, 3), where RGB of 1 is white of Y = 1. Raises `ValueError` if they are no colours.

    >>> to_xyz(_SRGB)[1].round(4).tolist()
    [0.2126, 0.7152, 0.0722]
    """
    x, y = np.reshape(chromaticities, (4, 2)).T.astype(np.float64)
    xyz = np.stack((x, y, 1 - x - y))
    try:
        scale = np.linalg.solve(xyz[:, 1:], xyz[:, 0] / y[0])
    except np.linalg.LinAlgError as error:
        raise ValueError("these chromaticities span no colours") from error
    if not (np.isfinite(scale).all() and y[0] > 0.05 and (scale > 0).all()):
        raise ValueError("these chromaticities span no colours")
    return xyz[:, 1:] * scale


def _adapted(white: NDArray[np.float64], to: NDArray[np.float64]) -> NDArray[np.float64]:
    """The adaptation from one white (XYZ) to another by Bradford's transform."""
    return np.linalg.inv(_BRADFORD) @ np.diag(_BRADFORD @ to / (_BRADFORD @ white)) @ _BRADFORD


def to_srgb_light(to_xyz_matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """From RGB light that a matrix brings to XYZ, to that of sRGB (3, 3). White becomes white, by Bradford's transform.

    >>> bool(np.allclose(to_srgb_light(to_xyz(_SRGB)), np.eye(3)))
    True
    """
    own = to_xyz(_SRGB)
    return np.linalg.inv(own) @ _adapted(to_xyz_matrix.sum(1), own.sum(1)) @ to_xyz_matrix


def display_p3_columns() -> NDArray[np.float64]:
    """From the light of Display P3 to CIE XYZ under D50 (3, 3), as a colour profile holds it.

    >>> display_p3_columns().sum(1).round(3).tolist()
    [0.964, 1.0, 0.825]
    """
    own = to_xyz(DISPLAY_P3)
    return _adapted(own.sum(1), np.array([0.9642, 1.0, 0.8249])) @ own


def from_srgb_to_display_p3(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Convert pixels (H, W, 3) from 0 to 1 from sRGB to Display P3.

    >>> from_srgb_to_display_p3(np.array([[[1, 0, 0], [1, 1, 1]]], np.float32)).round(2).tolist()
    [[[0.9200000166893005, 0.20000000298023224, 0.14000000059604645], [1.0, 1.0, 1.0]]]
    """
    return coded(1, 13).for_display_p3().to_srgb(pixels.copy(), 32)[0]


def coded(primaries: int, transfer: int, *, full_range: bool = True) -> ColourSpace:
    """The space of code points of H.273. Raises `ValueError` for those that name no colours.

    >>> coded(12, 13).name, coded(1, 13).is_srgb, coded(9, 16).light
    ('Display P3', True, 'PQ')
    """
    if primaries not in _PRIMARIES or transfer not in _TRANSFERS:
        raise ValueError(f"primaries {primaries} and transfer {transfer} of H.273")
    (name, chromaticities), (curve_name, curve) = _PRIMARIES[primaries], _TRANSFERS[transfer]
    xyz = to_xyz(chromaticities)
    return ColourSpace(
        name if transfer in (2, 13) else f"{name} with {curve_name}",
        (curve,),
        to_srgb_light(xyz),
        "PQ" if transfer == _PQ else "HLG" if transfer == _HLG else "SDR",
        (float(xyz[1, 0]), float(xyz[1, 1]), float(xyz[1, 2])),
        not full_range,
    )


def measured(gamma: float | None, chromaticities: Chromaticities | None, name: str = "") -> ColourSpace:
    """The space of a power of light, 1 / gamma, and of chromaticities. What is None is that of sRGB.

    1/2.2 with the primaries of sRGB is sRGB, since programs wrote that before there was a chunk for it. Raises
    `ValueError` where they span no colours.

    >>> measured(0.45455, None).is_srgb, measured(1.0, None).is_srgb
    (True, False)
    """
    matrix = to_srgb_light(to_xyz(chromaticities or _SRGB))
    if gamma is None or (abs(gamma - 1 / 2.2) < 0.0005 and np.abs(matrix - np.eye(3)).max() < 0.01):
        curve: Curve = _from_srgb_curve
    elif 0.1 <= gamma <= 10:
        curve = partial(_power, 1 / gamma)
    else:
        raise ValueError("this gamma is no curve of a picture")
    return ColourSpace(name or "the colours that its gamma and chromaticities tell", (curve,), matrix)


def adobe_rgb() -> ColourSpace:
    """Adobe RGB (1998), with its gamma of 563/256.

    >>> adobe_rgb().to_srgb(np.full((1, 1, 3), 128, np.uint8), 8)[0].tolist()
    [[[129, 129, 129]]]
    """
    return measured(256 / 563, _ADOBE, "Adobe RGB")


@dataclass(frozen=True)
class Signs:
    """All that a file says about its colours, besides a profile."""

    codes: tuple[int, int, bool] | None = None
    """Primaries, transfer and full range by H.273, which count more than a profile."""
    later_codes: tuple[int, int, bool] | None = None
    """The same where they count less than a profile, as in HEIF and AVIF unless they say PQ or HLG."""
    srgb: bool = False
    """Whether a chunk says that the colours are sRGB."""
    gamma: float | None = None
    """The exponent of light of PNG's gAMA."""
    chromaticities: Chromaticities | None = None
    exif: bytes = b""


def meant(signs: Signs, profile: bytes) -> ColourSpace | Literal["profile"] | None:
    """What counts among the signs: a space, "profile" for the file's ICC profile, or None for sRGB.

    Raises `ValueError` where the file says something that names no colours.

    >>> meant(Signs(codes=(12, 13, True)), b"a profile").name
    'Display P3'
    >>> meant(Signs(later_codes=(12, 13, True)), b"a profile")
    'profile'
    """
    if signs.codes:
        space = coded(signs.codes[0], signs.codes[1], full_range=signs.codes[2])
    elif profile:
        return "profile"
    elif signs.later_codes:
        space = coded(signs.later_codes[0], signs.later_codes[1], full_range=signs.later_codes[2])
        if (signs.later_codes[0], signs.later_codes[1]) == (2, 2):
            space = _of_exif(signs.exif) or space
    elif signs.srgb:
        return None
    elif signs.gamma or signs.chromaticities:
        space = measured(signs.gamma, signs.chromaticities)
    else:
        space = _of_exif(signs.exif)
    return None if space is None or space.is_srgb else space


_COLOUR_SPACE, _UNCALIBRATED, _INTEROPERABILITY, _EXIF_IFD = 0xA001, 65535, 0xA005, 0x8769
_WHITE_POINT, _CHROMATICITIES, _GAMMA = 318, 319, 0xA500


def _of_exif(exif: bytes) -> ColourSpace | None:
    """The space that Exif alone names: Adobe RGB by DCF 2.0, or another that it measures; None for sRGB.

    DCF 2.0 says "uncalibrated" and the interoperability index R03. Some programs write ColorSpace 2 instead.
    """
    from PIL.Image import Exif

    try:
        main = Exif()
        main.load(exif)
        camera = main.get_ifd(_EXIF_IFD)
        index = main.get_ifd(_INTEROPERABILITY).get(1, "") if _INTEROPERABILITY in camera else ""
        kind = camera.get(_COLOUR_SPACE)
        text = index.decode("latin-1") if isinstance(index, bytes) else str(index)
        if kind == 2 or (kind in (None, _UNCALIBRATED) and text.startswith("R03")):
            return adobe_rgb()
        if kind == _UNCALIBRATED and _WHITE_POINT in main and _CHROMATICITIES in main:
            values = [float(value) for tag in (_WHITE_POINT, _CHROMATICITIES) for value in main[tag]]
            white_x, white_y, red_x, red_y, green_x, green_y, blue_x, blue_y = values
            gamma = float(camera.get(_GAMMA, 2.2))
            chromaticities = white_x, white_y, red_x, red_y, green_x, green_y, blue_x, blue_y
            return measured(1 / gamma, chromaticities, "the colours that its Exif measures")
    except Exception:  # noqa: BLE001  # Pillow fails on odd data in many ways, and such data name no colours
        return None
    return None


def uncalibrated(exif: bytes) -> bool:
    """Whether Exif says that the colours are not sRGB, without saying which they are."""
    from PIL.Image import Exif

    try:
        main = Exif()
        main.load(exif)
        return main.get_ifd(_EXIF_IFD).get(_COLOUR_SPACE) == _UNCALIBRATED and _of_exif(exif) is None
    except Exception:  # noqa: BLE001  # as above
        return False
