"""What a person, or a program, is told on stderr while stsr works. The one owner of rich.

- `people`: a run of `stsr upscale` for people: lines by their level, and how far it is (`meter`, `pace`).
- `events`: the same for programs: a JSON object a line (docs/progress.md).
- `log`: what the library and FFmpeg log.
- `training`: of training runs; `tables`: tables and counters.
"""

from stsr_cli.console.events import Events
from stsr_cli.console.log import logs_told
from stsr_cli.console.meter import Gauges
from stsr_cli.console.people import People
from stsr_cli.console.tables import Counter, print_table
from stsr_cli.console.training import ReproduceConsole, TrainConsole

__all__ = [
    "Counter",
    "Events",
    "Gauges",
    "People",
    "ReproduceConsole",
    "TrainConsole",
    "logs_told",
    "print_table",
]
