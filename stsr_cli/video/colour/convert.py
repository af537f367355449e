"""RGB arrays from decoded frames and back, rounded and never truncated. Knows frames, not files.

Deviation from plain swscale, measured with PyAV 18.1 (FFmpeg 8.1.2) on random RGB against float64
matrices; errors in levels of the YUV format, BT.601, 709 and 2020:

- 8-bit YUV -> rgb24 is right (largest error 0.51), so swscale does it.
- Deeper YUV -> rgb48 puts white at 65280 (limited range) or 65536 - 2**(16 - depth) (full range)
  instead of 65535: 4 levels of 1023. `ToRgb` scales that away (0.07 are left). Its intermediate results have 15 bits:
  of formats with 12 and more the matrix is applied here, both ways, and swscale only resamples chroma.
- RGB -> 8-bit full-range YUV truncates chroma (error 1.08, mean -0.5). `FromRgb` therefore lets
  swscale make 16-bit YUV and rounds that itself (0.58, mean 0.00).
- RGB -> 4:4:4 that way still moves 1 pixel in 5000 by 2 levels on a round trip. `FromRgb` applies
  the matrix itself there (0.50; round trips stay within 1 level).
- RGB of more than 8 bits is read as if white were 65280; `FromRgb` hands it over on that scale.
- bgra64 -> rgba64 is off by 33 levels of 65535, since it goes through YUV; deep RGB is read here, without swscale.
- Read and written again, smooth pictures keep every level of luma, RGB and 4:4:4. Subsampled chroma, resampled there
  and back, is within 1 level up to 12 bits and 2 levels of 16; past the border, where there are no samples, 4 of 12.
- 4:2:0 and 4:2:2 made from RGB, and untagged ones that are read, have their chroma in the centre: see `chroma`.
"""

from stsr_cli.video.colour.from_rgb import FromRgb
from stsr_cli.video.colour.levels import Pixels
from stsr_cli.video.colour.to_rgb import ToRgb

__all__ = ["FromRgb", "Pixels", "ToRgb"]
