"""Segments made by a Ray cluster of two nodes on this machine; a worker and a node are killed."""

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
pytest.importorskip("ray", reason="needs Ray: pip install 'stsr-cli[ray]'")

from ray.cluster_utils import Cluster

from stsr_cli.distribute.cluster import RayCrew
from stsr_cli.distribute.runner import Distributed
from stsr_cli.errors import StsrError
from stsr_cli.options import UpscaleOptions
from stsr_cli.options.distribute import DistributeOptions
from stsr_cli.segments.journal import work_folder
from stsr_cli.upscale import upscale

from .distribution import (
    Told,
    in_background,
    made_alone,
    make_options,
    pictures,
    run,
    wait_for_writer,
)

NODE = {"num_cpus": 1, "object_store_memory": 80 << 20, "include_dashboard": False}
# that a node which is gone is missed after some seconds, and not after half a minute
ALERT = {"health_check_period_ms": 1000, "health_check_timeout_ms": 2000}
ALERT |= {"health_check_failure_threshold": 3}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Two nodes of one core each."""
    cluster = Cluster(initialize_head=True, head_node_args={**NODE, "_system_config": ALERT})
    cluster.add_node(**NODE)
    yield cluster
    cluster.shutdown()


@pytest.fixture
def on_ray(cluster: Cluster) -> DistributeOptions:
    return DistributeOptions("ray", address=cluster.address, worker_cores=1)


@pytest.fixture
def options(tmp_path: Path, make_clip: Callable[..., Path]) -> UpscaleOptions:
    return make_options(tmp_path, make_clip)


@pytest.fixture
def expected(options: UpscaleOptions) -> str:
    """The pictures of the same run in one process."""
    return made_alone(options)


def raylet(node: Any) -> int:
    """The process that starts a node's workers."""
    (info,) = node.all_processes["raylet"]
    return int(info.process.pid)


def test_two_nodes_make_what_one_process_makes(
    options: UpscaleOptions, expected: str, on_ray: DistributeOptions
) -> None:
    told = run(options, on_ray)
    assert pictures(options.target) == expected
    assert len(set(told.workers.values())) == 2
    assert "Ray cluster of 2 nodes, 2 cores; each segment on 1 core" in told.notes


def test_a_killed_worker_and_a_lost_node_cost_their_segments_alone(
    options: UpscaleOptions,
    expected: str,
    on_ray: DistributeOptions,
    cluster: Cluster,
    capfd: pytest.CaptureFixture[str],
) -> None:
    folder, head = work_folder(options.target), raylet(cluster.head_node)
    (other,) = cluster.worker_nodes

    frozen: list[int] = []

    def do_harm() -> None:
        os.kill(wait_for_writer(folder, head), signal.SIGKILL)
        frozen.append(wait_for_writer(folder, raylet(other)))
        os.kill(frozen[0], signal.SIGSTOP)  # says no more, as on a machine without power
        cluster.remove_node(other, allow_graceful=False)

    thread = in_background(do_harm)
    told = run(options, on_ray)
    thread.join()
    with contextlib.suppress(ProcessLookupError):  # its node took it along
        os.kill(frozen[0], signal.SIGKILL)
    assert capfd.readouterr().out == ""  # Ray has much to say of a dead node
    cluster.add_node(**NODE)
    assert pictures(options.target) == expected
    lost = [note.partition(": ")[2] for note in told.notes if "another worker" in note]
    assert sorted(lost) == [
        "its machine left the cluster; another worker makes it again",
        "its process died; another worker makes it again",
    ]


def test_an_attempt_on_a_lost_node_that_never_said_where_it_is_is_given_anew(
    options: UpscaleOptions,
    expected: str,
    on_ray: DistributeOptions,
    cluster: Cluster,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(RayCrew, "_told", lambda _: [])  # nothing arrives but results
    (other,) = cluster.worker_nodes
    frozen: list[int] = []

    def do_harm() -> None:
        frozen.append(wait_for_writer(work_folder(options.target), raylet(other)))
        os.kill(frozen[0], signal.SIGSTOP)
        cluster.remove_node(other, allow_graceful=False)

    thread = in_background(do_harm)
    run(options, on_ray)
    thread.join()
    with contextlib.suppress(ProcessLookupError):
        os.kill(frozen[0], signal.SIGKILL)
    cluster.add_node(**NODE)
    assert pictures(options.target) == expected


def test_a_cluster_that_is_not_there(options: UpscaleOptions) -> None:
    nowhere = DistributeOptions("ray", address="127.0.0.1:1")
    with pytest.raises(
        StsrError, match=r"cannot connect to the Ray cluster at 127\.0\.0\.1:1: .*refused"
    ):
        upscale(options, Told(), Distributed(nowhere))
