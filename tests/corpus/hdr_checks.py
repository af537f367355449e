"""Checks of HDR: what ffprobe and MediaInfo say of the mastering display and the light levels."""

from typing import Any

from . import readers
from .case import Case, check
from .pictures import bar_colours


def _side_data(case: Case) -> dict[str, Any]:
    found = readers.ffprobe(case.output)
    frame = next(f for f in found["frames"] if f.get("media_type") == "video")
    sides = [
        *frame.get("side_data_list", []),
        *readers.video_stream(case.output).get("side_data_list", []),
    ]
    return {side["side_data_type"]: side for side in sides}


@check("mastering display 0.005 to 1000 cd/m2, light levels 1000 and 400", "ffprobe")
def light_levels(case: Case) -> None:
    sides = _side_data(case)
    mastering = sides["Mastering display metadata"]
    light = sides["Content light level metadata"]
    assert (light["max_content"], light["max_average"]) == (1000, 400)
    values = {
        name: _value(mastering[name])
        for name in ("max_luminance", "min_luminance", "red_x", "blue_y")
    }
    wanted = {"max_luminance": 1000, "min_luminance": 0.005, "red_x": 0.68, "blue_y": 0.06}
    assert all(abs(values[name] - wanted[name]) <= 1e-4 for name in wanted), values


def _value(text: str) -> float:
    over, under = text.split("/")
    return int(over) / int(under)


@check("no mastering display, no light levels", "ffprobe")
def no_light_levels(case: Case) -> None:
    assert not {side for side in _side_data(case) if "Mastering" in side or "light level" in side}


@check("MaxCLL 1000 and SMPTE ST 2086", "MediaInfo")
def described_hdr(case: Case) -> None:
    video = next(t for t in readers.mediainfo(case.output) if t["@type"] == "Video")
    assert video["MaxCLL"].startswith("1000") and video["MaxFALL"].startswith("400"), video
    assert "SMPTE ST 2086" in video["HDR_Format"], video["HDR_Format"]
    assert "1000" in video["MasteringDisplay_Luminance"]


@check("brighter bars stay brighter, white is not crushed", "ffmpeg + numpy")
def darkens(case: Case) -> None:
    colours = bar_colours(case.output, "709", False)[0]
    luma = colours @ [0.2126, 0.7152, 0.0722]
    assert luma[0] == max(luma) and luma[-1] == min(luma), luma
    assert 100 < luma[0] < 255
