"""Training footage: from paths to clips whose frames can be cropped.

- `sources`: what a path means, a data set's layout included.
- `scan`: what a source holds: frames, triplets, what is broken; found out once.
- `cache`: the bounded folder of decoded frames and records.
- `frames`: decoding, the bicubic degradation, frames mapped from the cache or read from images.
- `clips`: a clip, the held-out split; `load`: from paths to clips.
"""

from stsr_cli.data.cache import default_cache
from stsr_cli.data.clips import Clip, split
from stsr_cli.data.frames import Frames, Pixels, degrade
from stsr_cli.data.load import load_clips
from stsr_cli.data.scan import find_triplets
from stsr_cli.data.sources import VIDEO_SUFFIXES

__all__ = [
    "VIDEO_SUFFIXES",
    "Clip",
    "Frames",
    "Pixels",
    "default_cache",
    "degrade",
    "find_triplets",
    "load_clips",
    "split",
]
