"""How good are the frames between given ones, at four times their size? Two protocols, on test sets or one's own video.

Both: frames 1, 3, 5 ... of a clip (from 1) are cropped to a multiple of 4, reduced to a quarter by MATLAB's bicubic and
rounded to 8 bits; that is what every system is given. Frames 2, 4 ... that have both neighbours are interpolated. A
prediction is clamped and rounded to 8 bits and compared with the frame that was taken away; no border is cropped.

- `paper` (Lin, Hsiu, Kuo, Lin: Spatiotemporal Super-Resolution with Cross-Task Consistency, Sec. 4): the interpolated
  frames alone are scored, each from its two neighbours. RGB is primary (the paper does not name its colour space: under
  Y its figures would lie below plain bicubic and blending). A data set's figure is the mean over all its truths, not
  the mean of its clips' means.
- `stvsr` (Xiang et al., Zooming Slow-Mo, CVPR 2020, and those after it): every frame is scored, the given ones, which
  f_S alone enlarges, and the interpolated ones; a trailing frame without a right neighbour is dropped. Luma is primary
  (BT.601, limited range). A data set's figure is the mean of its clips' means. With a limit, the chosen truths and the
  given frames around them are scored. Their networks see 4 given frames and more at a time, ours 2.

Still images measure f_S alone by the protocol of its literature: a border of 4 pixels is cropped.

- `samples`: the frames of a clip as they are given and scored; `systems`: the networks; `external`: command lines.
- `run`: `evaluate`; `rows`: the figures.
"""

from stsr_cli.evaluation.rows import EvalReport, Row, better_stream, to_csv, to_json
from stsr_cli.evaluation.run import MeasuredFrame, Prediction, evaluate

__all__ = [
    "EvalReport",
    "MeasuredFrame",
    "Prediction",
    "Row",
    "better_stream",
    "evaluate",
    "to_csv",
    "to_json",
]
