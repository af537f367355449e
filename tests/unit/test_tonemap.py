"""The curves against their standards' numbers, and what the mapping keeps."""

import numpy as np
import pytest

from stsr_cli.video.colour.hdr import HdrMetadata, appended, hdr_options
from stsr_cli.video.colour.meaning import ColourTags
from stsr_cli.video.colour.tonemap import (
    SDR_WHITE,
    ToneMapper,
    ToneMapping,
    eetf,
    pq_eotf,
    pq_inverse,
    sdr_tags,
    tone_mapping,
)

PQ, HLG = 16, 18


def tags(transfer, primaries=9):
    return ColourTags(9, 1, primaries, transfer, 9, 1)


def mapped(level, transfer=PQ, primaries=9, peak=1000.0):
    """(3,) in [0, 1] of an RGB level in [0, 1], or of three."""
    pixels = np.full((2, 2, 3), np.round(np.array(level) * 65535), np.uint16)
    return ToneMapper(ToneMapping(tags(transfer, primaries), peak))(pixels)[0, 0] / 65535


def test_pq_is_that_of_bt2100():
    # BT.2408, Table 1: 100 cd/m2 is 51 % of PQ, 203 58 %, 1000 75 %, 10000 100 %
    light = np.array([100.0, 203.0, 1000.0, 10000.0])
    assert pq_inverse(light) == pytest.approx([0.508, 0.581, 0.752, 1], abs=5e-4)
    assert pq_eotf(pq_inverse(light)) == pytest.approx(light)


def test_the_curve_keeps_what_is_dark_and_ends_at_the_target():
    light = np.linspace(0, 1000, 1001)
    out = eetf(light, 1000, SDR_WHITE)
    assert out[:90] == pytest.approx(light[:90], abs=0.01)
    assert out[-1] == pytest.approx(SDR_WHITE)
    assert np.all(np.diff(out) > 0)
    assert eetf(light[:204], SDR_WHITE, SDR_WHITE) == pytest.approx(light[:204], abs=1e-6)


@pytest.mark.parametrize("nits", [1, 10, 50, 80])
def test_dark_greys_are_shown_as_bright_as_they_were(nits):
    grey = mapped(pq_inverse(np.array(float(nits))))
    assert SDR_WHITE * grey**2.4 == pytest.approx([nits] * 3, rel=0.005)


def test_reference_white_of_hlg_and_pq_is_the_same():
    pq = mapped(pq_inverse(np.array(203.0)))
    assert mapped(0.75, HLG) == pytest.approx(pq, abs=2e-3)  # BT.2408: 75 % of HLG is 203 cd/m2
    assert mapped(1.0, HLG) == pytest.approx([1, 1, 1], abs=2e-5)
    assert mapped(0.0, HLG).tolist() == [0, 0, 0]


def test_hue_stays_and_bt2020_green_leaves_bt709():
    orange = pq_inverse(np.array([400.0, 200.0, 40.0]))
    linear = mapped(orange, primaries=1) ** 2.4
    assert linear[0] / linear[1] == pytest.approx(2, rel=0.01)
    assert linear[1] / linear[2] == pytest.approx(5, rel=0.01)
    green = mapped(np.array([0, 0.5, 0]))
    assert green[0] == green[2] == 0 and green[1] > 0.5


def test_the_peak_is_the_sources_and_alpha_stays():
    assert tone_mapping(tags(PQ), HdrMetadata(light=(600, 100))).peak == 600
    assert tone_mapping(tags(PQ), HdrMetadata()).peak == 1000
    assert tone_mapping(tags(HLG), HdrMetadata(light=(4000, 100))).peak == 1000
    assert tone_mapping(tags(1), HdrMetadata()) is None
    rgba = np.random.default_rng(0).integers(0, 65536, (70, 8, 4), dtype=np.uint16)
    out = ToneMapper(ToneMapping(tags(PQ), 1000.0))(rgba)
    assert out.shape == rgba.shape and np.array_equal(out[..., 3], rgba[..., 3])


def test_what_comes_out_is_tagged_bt709():
    found = sdr_tags(tags(PQ))
    assert (found.matrix, found.range, found.primaries, found.transfer) == (1, 1, 1, 1)
    assert (found.effective_matrix, found.effective_range) == (1, 1)


@pytest.mark.parametrize("codec", ["libx265", "libsvtav1", "ffv1"])
def test_dynamic_metadata_is_lost_everywhere_and_said_so(codec):
    options, lost = hdr_options(codec, HdrMetadata(light=(1000, 400), dynamic=("HDR10+",)))
    assert lost[0] == "HDR10+ metadata"
    assert bool(options) == (codec != "ffv1")


def test_lists_of_an_encoders_own_options_are_appended():
    assert appended({"x265-params": "a=1", "crf": "5"}, {"x265-params": "b=2"}) == {
        "x265-params": "a=1:b=2",
        "crf": "5",
    }
