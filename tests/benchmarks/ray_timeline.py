"""A run on a Ray cluster of two nodes on this machine: a worker is killed, a node goes, a node comes.

    python tests/benchmarks/ray_timeline.py docs/results/ray-timeline.png

By hand. Draws who made what when, and says whether the output equals that of one process.
"""

import argparse
import json
import os
import signal
import sys
import tempfile
import threading
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import matplotlib as mpl

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

import psutil
import ray
from ray.cluster_utils import Cluster

from stsr_cli.distribute.dispatch import LOG
from stsr_cli.distribute.runner import Distributed
from stsr_cli.options import EncodeOptions, ModelOptions, UpscaleOptions
from stsr_cli.options.distribute import DistributeOptions
from stsr_cli.segments.journal import work_folder
from stsr_cli.upscale import upscale
from tests.conftest import write_clip
from tests.e2e.distribution import Told, pictures, wait_for_writer

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.patches import Patch

NUM_SEGMENTS = 20
RATE = 24
NODE = {"num_cpus": 1, "object_store_memory": 80 << 20, "include_dashboard": False}
ALERT = {"health_check_period_ms": 1000, "health_check_timeout_ms": 2000}
ALERT |= {"health_check_failure_threshold": 3}
COLOURS = {"made": "#4c8c6b", "lost": "#c8553d"}


class Stage(Told):
    """Counts finished segments, so that what happens can happen at one of them."""

    def wait(self, num_made: int) -> None:
        while len(self.workers) < num_made:
            time.sleep(0.02)


def raylet(node: object) -> int:
    (info,) = node.all_processes["raylet"]
    return int(info.process.pid)


def act(
    cluster: Cluster,
    folder: Path,
    told: Stage,
    nodes: dict[int, str],
    events: list,
    is_over: threading.Event,
) -> None:
    """What happens to the cluster while it works."""
    first, (second,) = cluster.head_node, cluster.worker_nodes
    told.wait(3)
    victim = wait_for_writer(folder, raylet(first))
    os.kill(victim, signal.SIGKILL)
    events.append((time.time(), "kill -9 of a worker"))
    told.wait(6)
    wait_for_writer(folder, raylet(second))
    cluster.remove_node(second, allow_graceful=False)
    events.append((time.time(), "node B is gone"))
    told.wait(8)
    ray._private.utils.set_sigterm_handler = lambda handler: (
        None
    )  # possible in the main thread alone
    third = cluster.add_node(**NODE)
    nodes[raylet(third)] = "node C"
    events.append((time.time(), "node C joins"))
    is_over.wait()  # a node ends with the thread that started it


def watch(nodes: dict[int, str], homes: dict[int, str], is_over: threading.Event) -> None:
    """Note on which node each worker is: its parent is the node's raylet."""
    while not is_over.is_set():
        for process in psutil.Process().children(recursive=True):
            try:
                if process.ppid() in nodes:
                    homes[process.pid] = nodes[process.ppid()]
            except psutil.Error:
                continue
        time.sleep(0.1)


def draw(path: Path, log: list[dict], homes: dict[int, str], events: list, title: str) -> None:
    """A lane a worker process, a bar an attempt."""
    log = [line for line in log if line["worker"]]  # else it was lost before it was begun
    start = min(line["begin_seconds"] for line in log)
    workers = {line["worker"] for line in log}
    pids = {worker: int(worker.rpartition(":")[2]) for worker in workers}
    begins = {w: min(e["begin_seconds"] for e in log if e["worker"] == w) for w in workers}
    lanes = sorted(workers, key=lambda w: (homes.get(pids[w], "?"), begins[w]))
    figure, axes = plt.subplots(figsize=(12, 1.6 + 0.6 * len(lanes)), layout="constrained")
    for line in log:
        lane, begin = lanes.index(line["worker"]), line["begin_seconds"] - start
        length = max(line["end_seconds"] - line["begin_seconds"], 0.02)
        axes.barh(
            lane, length, left=begin, height=0.7, color=COLOURS[line["outcome"]], edgecolor="white"
        )
        axes.text(
            begin + length / 2,
            lane,
            line["segment"],
            ha="center",
            va="center",
            color="white",
            fontsize=8,
        )
    for seconds, what in events:
        axes.axvline(seconds - start, color="#333333", linestyle="--", linewidth=1)
        axes.text(seconds - start, -0.62, f" {what}", fontsize=9, va="bottom")
    names = [f"{homes.get(pids[w], '?')}, process {pids[w]}" for w in lanes]
    axes.set_yticks(range(len(lanes)), names)
    axes.set_ylim(len(lanes) - 0.4, -0.95)
    axes.set_xlabel("seconds since the first segment was begun")
    axes.set_title(title, fontsize=10, loc="left")
    figure.legend(
        handles=[
            Patch(color=COLOURS["made"], label="segment made"),
            Patch(color=COLOURS["lost"], label="lost, made again"),
        ],
        loc="outside lower right",
        ncols=2,
    )
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    out = parser.parse_args().out
    with tempfile.TemporaryDirectory() as scratch:
        clip = Path(scratch, "clip.mp4")
        write_clip(
            clip, width=128, height=96, num_frames=NUM_SEGMENTS * RATE, frame_rate=Fraction(RATE)
        )
        options = UpscaleOptions(
            source=clip,
            target=Path(scratch, "out.mp4"),
            segment=Fraction(1),
            keep_work=True,
            model=ModelOptions(spatial="bicubic", temporal="blend"),
            encode=EncodeOptions(preset="veryfast"),
        )
        alone = replace(options, target=Path(scratch, "alone.mp4"))
        upscale(alone)
        cluster = Cluster(initialize_head=True, head_node_args={**NODE, "_system_config": ALERT})
        second = cluster.add_node(**NODE)
        nodes = {raylet(cluster.head_node): "node A", raylet(second): "node B"}
        homes: dict[int, str] = {}
        events: list[tuple[float, str]] = []
        told, is_over, folder = Stage(), threading.Event(), work_folder(options.target)
        for target, arguments in (
            (watch, (nodes, homes, is_over)),
            (act, (cluster, folder, told, nodes, events, is_over)),
        ):
            threading.Thread(target=target, args=arguments, daemon=True).start()
        begin = time.time()
        crew = DistributeOptions("ray", address=cluster.address, worker_cores=1)
        upscale(options, told, Distributed(crew))
        seconds = time.time() - begin
        is_over.set()
        cluster.shutdown()
        log = [json.loads(line) for line in (folder / LOG).read_text().splitlines()]
        is_same = pictures(options.target) == pictures(alone.target)
        num_lost = sum(line["outcome"] == "lost" for line in log)
        title = (
            f"{NUM_SEGMENTS} segments of 1 s on a Ray cluster of two nodes, one core each ({seconds:.0f} s): "
            f"{num_lost} attempts lost, output {'identical to' if is_same else 'DIFFERENT from'} that of one process"
        )
        draw(out, log, homes, events, title)
    print("\n".join([title, *told.notes]))
    sys.exit(not is_same)


if __name__ == "__main__":
    main()
