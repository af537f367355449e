"""PQ and HLG to BT.709 SDR, frame by frame, before the networks, which were trained on such pictures.

What is done, all of it display-referred and in cd/m2:

1. PQ: the EOTF of SMPTE ST 2084 (BT.2100, Table 4). HLG: the inverse OETF and the OOTF of BT.2100, Table 5, for a
   display of 1000 cd/m2, whose gamma is 1.2.
2. The EETF of ITU-R BT.2390-10, Section 5.4.1 (a Hermite spline above a knee, in PQ's scale), from the source's peak to
   203 cd/m2, the reference white of BT.2408. It is applied to the largest of R, G and B and scales all three, which
   keeps their ratios, the hue. The black point stays where it is (the term b is 0). With a peak of 1000 cd/m2 nothing
   below 90 cd/m2 changes.
3. BT.2020 primaries to BT.709's (BT.2087); what lies outside is clipped.
4. 203 cd/m2 become 1, on the inverse of the EOTF of BT.1886, a power of 1 / 2.4.

The peak is the source's MaxCLL, else its mastering display's luminance, else 1000 cd/m2; light above it is clipped.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from stsr_cli.video.colour.hdr import HdrMetadata
from stsr_cli.video.colour.levels import Pixels, to_uint16
from stsr_cli.video.colour.meaning import (
    MATRIX_BT709,
    PRIMARIES_BT709,
    PRIMARIES_BT2020,
    RANGE_LIMITED,
    TRANSFER_BT709,
    TRANSFER_HLG,
    ColourTags,
    is_hdr,
)

SDR_WHITE = 203.0  # cd/m2
DEFAULT_PEAK = 1000.0  # cd/m2
_HLG_PEAK, _HLG_GAMMA = 1000.0, 1.2
_PQ_PEAK = 10000.0
_M1, _M2 = 2610 / 16384, 2523 / 4096 * 128
_C1, _C2, _C3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
_SDR_GAMMA = 2.4
_LUMA_2020 = np.array([0.2627, 0.6780, 0.0593], np.float32)
_BT709_FROM_BT2020 = np.array(
    [
        [1.660491, -0.587641, -0.072850],
        [-0.124550, 1.132900, -0.008350],
        [-0.018151, -0.100579, 1.118730],
    ],
    np.float32,
)
_LINES = 64  # at a time, so that they stay in the cache
_NUM_CURVE = 4096


@dataclass(frozen=True)
class ToneMapping:
    """How a source is mapped.

    Attributes:
        tags: of the source as it is coded: PQ or HLG.
        peak: the brightest light of the source in cd/m2.
    """

    tags: ColourTags
    peak: float


def tone_mapping(tags: ColourTags, metadata: HdrMetadata) -> ToneMapping | None:
    """How a source with these tags is mapped; None where it is no HDR."""
    if not is_hdr(tags):
        return None
    peak = DEFAULT_PEAK
    if tags.transfer != TRANSFER_HLG:
        if metadata.light and metadata.light[0]:
            peak = float(metadata.light[0])
        elif metadata.mastering:
            peak = float(metadata.mastering.brightest)
    peak = min(max(peak, SDR_WHITE), _PQ_PEAK)
    return ToneMapping(tags, peak)


def sdr_tags(tags: ColourTags) -> ColourTags:
    """The tags of what comes out, for YUV made from it: BT.709, limited range."""
    return replace(
        tags,
        matrix=MATRIX_BT709,
        effective_matrix=MATRIX_BT709 if tags.effective_matrix else None,
        range=RANGE_LIMITED if tags.effective_matrix else tags.range,
        effective_range=RANGE_LIMITED if tags.effective_matrix else tags.effective_range,
        primaries=PRIMARIES_BT709,
        transfer=TRANSFER_BT709,
    )


class ToneMapper:
    """Maps frames of one source."""

    def __init__(self, mapping: ToneMapping) -> None:
        self._mapping = mapping
        levels = np.arange(65536, dtype=np.float64) / 65535
        is_hlg = mapping.tags.transfer == TRANSFER_HLG
        linear = _hlg_scene(levels) if is_hlg else pq_eotf(levels)
        self._linear = linear.astype(np.float32)
        # The EETF over the square root of light, in which it is smooth.
        roots = np.linspace(0, np.sqrt(_PQ_PEAK), _NUM_CURVE)
        self._roots = roots.astype(np.float32)
        self._gains = _gains(roots**2, mapping.peak).astype(np.float32)
        self._is_hlg = is_hlg

    def __call__(self, pixels: Pixels) -> NDArray[np.uint16]:
        """Map one frame.

        Args:
            pixels: (H, W, 3 or 4) HDR, full range: uint8, or uint16 with white at 65535.

        Returns:
            The same shape, SDR on BT.709's curve, uint16; alpha as it was.
        """
        deep = to_uint16(pixels)
        mapped = np.empty_like(deep)
        mapped[..., 3:] = deep[..., 3:]
        for top in range(0, len(deep), _LINES):
            mapped[top : top + _LINES, :, :3] = self._map(deep[top : top + _LINES, :, :3])
        return mapped

    def _map(self, levels: NDArray[np.uint16]) -> NDArray[np.uint16]:
        light = self._linear[levels]  # cd/m2; of HLG the scene's light in [0, 1]
        if self._is_hlg:
            luminance = light @ _LUMA_2020
            light *= (_HLG_PEAK * luminance ** np.float32(_HLG_GAMMA - 1))[..., None]
        brightest = np.sqrt(light.max(axis=-1))
        light *= np.interp(brightest, self._roots, self._gains).astype(np.float32)[..., None]
        if self._mapping.tags.primaries == PRIMARIES_BT2020:
            light = light @ _BT709_FROM_BT2020.T
        np.clip(light, 0, 1, out=light)
        light **= np.float32(1 / _SDR_GAMMA)
        return (light * np.float32(65535) + np.float32(0.5)).astype(np.uint16)


def pq_eotf(levels: NDArray[np.float64]) -> NDArray[np.float64]:
    """PQ in [0, 1] to cd/m2."""
    root = levels ** (1 / _M2)
    return _PQ_PEAK * (np.maximum(root - _C1, 0) / (_C2 - _C3 * root)) ** (1 / _M1)


def pq_inverse(light: NDArray[np.float64]) -> NDArray[np.float64]:
    """The inverse of `pq_eotf`."""
    power = (np.maximum(light, 0) / _PQ_PEAK) ** _M1
    return ((_C1 + _C2 * power) / (1 + _C3 * power)) ** _M2


def eetf(light: NDArray[np.float64], peak: float, target: float) -> NDArray[np.float64]:
    """BT.2390's curve: cd/m2 up to `peak` to cd/m2 up to `target`, black to black."""
    highest = pq_inverse(np.array(peak))
    e1 = np.minimum(pq_inverse(light) / highest, 1)
    max_lum = pq_inverse(np.array(target)) / highest
    knee = 1.5 * max_lum - 0.5
    t = np.clip((e1 - knee) / np.maximum(1 - knee, 1e-9), 0, 1)
    spline = (
        (2 * t**3 - 3 * t**2 + 1) * knee
        + (t**3 - 2 * t**2 + t) * (1 - knee)
        + (-2 * t**3 + 3 * t**2) * max_lum
    )
    return pq_eotf(np.where(e1 < knee, e1, spline) * highest)


def _gains(light: NDArray[np.float64], peak: float) -> NDArray[np.float64]:
    """What light is multiplied by, so that SDR's white is 1."""
    mapped = eetf(light, peak, SDR_WHITE) / SDR_WHITE
    gains = mapped[1:] / light[1:]
    return np.concatenate([gains[:1], gains])


def _hlg_scene(levels: NDArray[np.float64]) -> NDArray[np.float64]:
    """HLG's inverse OETF: levels in [0, 1] to the scene's light in [0, 1]."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return np.where(levels <= 0.5, levels**2 / 3, (np.exp((levels - c) / a) + b) / 12)
