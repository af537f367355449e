"""The `Runner` that makes the segments of a run by a crew."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch

from stsr_cli.distribute.crew import Crew
from stsr_cli.distribute.dispatch import Dispatcher, Site
from stsr_cli.distribute.local import LocalCrew
from stsr_cli.distribute.staging import put_file, remove_folder
from stsr_cli.errors import UsageError
from stsr_cli.options.distribute import DistributeOptions
from stsr_cli.segments.journal import SegmentRecord
from stsr_cli.upscale.identity import identity
from stsr_cli.upscale.job import Job, Loaded
from stsr_cli.upscale.listener import Listener
from stsr_cli.upscale.pump import Waits
from stsr_cli.upscale.segment_task import SegmentTask
from stsr_cli.video.probe import SourceInfo, estimate_seconds

_LOCAL_CORES = 4  # of a process, where neither their number nor that is given


@dataclass(frozen=True)
class Distributed:
    """Makes segments by a crew; each call has one of its own, and leaves no process behind.

    Attributes:
        options: who the crew is.
    """

    options: DistributeOptions

    def __call__(
        self,
        tasks: Sequence[SegmentTask],
        on_segment: Callable[[SegmentRecord], None],
        on_frame: Callable[[int], None],
        listener: Listener,
        job: Job,
        loaded: Loaded,
    ) -> Waits:
        """Make the segments of all tasks, as `Runner` says.

        Raises:
            UsageError: Ray is not installed, or the device is one that only this machine has.
            StsrError: there is no cluster, a worker failed, or workers died too often at the same segment.
        """
        task = tasks[0]
        wanted = identity(job, loaded, task.plan, task.storage, task.grid)
        crew = self._crew(job)
        listener.on_note(crew.description)
        site = Site(task.folder, self.options.source_url)
        if self.options.work_url is None:
            dispatcher = Dispatcher(crew, site, wanted, on_segment, on_frame, listener.on_note)
            return dispatcher.make(single_segments(tasks, job.source))
        folder_url = f"{self.options.work_url.rstrip('/')}/{task.run}"
        try:
            site = replace(site, folder_url=folder_url)
            if site.source_url is None:
                site = replace(site, source_url=f"{folder_url}/source/{job.options.source.name}")
                put_file(job.options.source, str(site.source_url))
            dispatcher = Dispatcher(crew, site, wanted, on_segment, on_frame, listener.on_note)
            return dispatcher.make(single_segments(tasks, job.source))
        finally:
            crew.close()
            remove_folder(folder_url)

    def _crew(self, job: Job) -> Crew:
        options, device = self.options, job.options.model.device
        if options.crew == "local":
            return local_crew(options, is_on_gpu=job.device.type == "cuda", device=device)
        if ":" in device:
            raise UsageError(
                f"--device {device} is a GPU of this machine; with --distribute ray, which hands out GPUs itself, "
                "write --device cuda"
            )
        from stsr_cli.distribute.cluster import RayCrew

        wants_gpu = {"cuda": True, "auto": None}.get(device, False)
        return RayCrew(options.address, options.worker_cores, wants_gpu)


def local_crew(options: DistributeOptions, *, is_on_gpu: bool, device: str) -> LocalCrew:
    """Processes of this machine: one a GPU, or as many as its cores are enough for, unless `options` say how many."""
    gpus: list[str] = []
    if is_on_gpu and ":" not in device:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        indexes = map(str, range(torch.cuda.device_count()))
        gpus = [name.strip() for name in visible.split(",")] if visible else list(indexes)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    cores = cores or 1
    num_workers = options.num_workers or len(gpus)
    if not num_workers:
        num_workers = max(1, cores // (options.worker_cores or _LOCAL_CORES))
    return LocalCrew(num_workers, options.worker_cores or max(1, cores // num_workers), gpus)


def single_segments(tasks: Sequence[SegmentTask], source: SourceInfo) -> list[SegmentTask]:
    """The same tasks, a segment each, as far as the source's header says how many there are.

    The last one goes on to the end of the video, wherever that is.
    """
    single = []
    for task in tasks:
        last = task.last
        if last is None:
            last = max(task.first + 1, _num_segments(task, source))
        single += [replace(task, first=index, last=index + 1) for index in range(task.first, last)]
        single[-1] = replace(single[-1], last=task.last)
    return single


def _num_segments(task: SegmentTask, source: SourceInfo) -> int:
    """By the header; 0 where it does not tell."""
    seconds = estimate_seconds(source)
    if seconds is None:
        return 0
    return -(-int(seconds / source.time_base) // task.grid.step)
