"""Where the segments of a run are made."""

from dataclasses import dataclass
from typing import Literal

Crew = Literal["local", "ray"]


@dataclass(frozen=True)
class DistributeOptions:
    """Processes or machines that make segments at the same time.

    Attributes:
        crew: processes of this machine (local) or tasks of a Ray cluster (ray).
        num_workers: processes, or None: one a GPU, or as many as `worker_cores` fit into this machine; Ray decides by
            its resources.
        address: of the cluster as `ray.init` takes it, or None: RAY_ADDRESS, else the one that runs here, else one
            that is started for the run.
        worker_cores: CPU cores of each worker, or None: this machine's by `num_workers`; on a cluster 4, or a smaller
            node's all.
        source_url: where workers get the source, as an fsspec URL, or None: they see it.
        work_url: folder, as an fsspec URL, through which machines that share no storage get the source and return
            segments; None: they share the source's and the output's folders.
    """

    crew: Crew
    num_workers: int | None = None
    address: str | None = None
    worker_cores: int | None = None
    source_url: str | None = None
    work_url: str | None = None
