"""The engine: a video in, a video out.

- `engine`: `upscale`, which joins decoder, network and encoder.
- `network`: the streams of a run; `outputs`: pairs of frames to output frames and their times.
- `listener`: what a run tells while it goes on; `report`: what a run did.
"""

from stsr_cli.upscale.engine import upscale
from stsr_cli.upscale.listener import Listener, RunStart, Silent
from stsr_cli.upscale.report import UpscaleReport

__all__ = ["Listener", "RunStart", "Silent", "UpscaleReport", "upscale"]
