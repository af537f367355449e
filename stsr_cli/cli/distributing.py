"""The options of a run that many processes or machines make."""

import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stsr_cli.cli.fields import option_of, refuse_given, section
from stsr_cli.cli.loading import loading
from stsr_cli.options import DistributeOptions, UpscaleOptions

if TYPE_CHECKING:
    from stsr_cli.upscale import Listener, UpscaleReport

_LOCAL = re.compile(r"local(?::(\d+))?")
_RAY = re.compile(r"ray(?:(://\S+:\d+)|:(\S*[^\s/]))?")
_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]+)://.", re.IGNORECASE)

_option = option_of(DistributeOptions, UpscaleOptions)

distribute_options = section(
    "Many machines",
    click.option(
        "--distribute",
        metavar="local[:N]|ray[://HOST:PORT]",
        help="Have the parts made at the same time: by N processes of this machine  [default: one a GPU, or one for "
        "every 4 cores], or by tasks of a Ray cluster: the one of RAY_ADDRESS or of this machine, of a client server "
        "(ray://HOST:10001), or by its own address (ray:HOST:6379).",
    ),
    _option(
        "--worker-cores",
        metavar="N",
        type=click.IntRange(1),
        help="Cores of each process or Ray task  [default: local: all, shared out; ray: 4, or a smaller node's]",
    ),
    _option(
        "--work-dir",
        metavar="DIR|URL",
        help="Keep OUTPUT.stsr in DIR instead of beside OUTPUT. A URL that fsspec knows (s3://bucket/path) is for "
        "machines that share no storage: they get INPUT from there and put their parts there.",
    ),
)


def take_distribute(
    paths: tuple[str, ...], values: dict[str, Any]
) -> tuple[tuple[str, ...], DistributeOptions | None]:
    """Read and remove what of `values` says who makes a run.

    Args:
        paths: the arguments. An input that is an address whose protocol is allowed is fetched for a distributed run.
        values: of all options; `work_dir` becomes a folder or None.

    Returns:
        the arguments with what was fetched in the place of its address, and who makes the run, or None: this process.
    """
    crew, cores = values.pop("distribute"), values.pop("worker_cores")
    work_dir = values.pop("work_dir")
    is_url = work_dir is not None and _ADDRESS.match(work_dir) is not None
    values["work_dir"] = Path(work_dir) if work_dir is not None and not is_url else None
    if crew is None:
        refuse_given("without --distribute", "worker_cores", *(["work_dir"] if is_url else []))
        return paths, None
    options = _parse(crew, cores, work_dir if is_url else None)
    if is_url:
        from stsr_cli.distribute.staging import check_url

        check_url(work_dir)
    protocols = values.get("protocols", ())
    match = _ADDRESS.match(paths[0])
    if len(paths) != 2 or match is None or match[1].lower() not in protocols:
        return paths, options
    from stsr_cli.distribute.staging import cached_source

    return (str(cached_source(paths[0])), paths[1]), replace(options, source_url=paths[0])


def engine(
    options: DistributeOptions | None, *, is_shown: bool
) -> "Callable[[UpscaleOptions, Listener], UpscaleReport]":
    """What makes a run: `upscale`, with the processes or machines that were asked for; `is_shown`: as of `loading`."""
    from stsr_cli.video import trial_process

    trial_process.start()  # it gets ready while torch is imported
    with loading(is_shown=is_shown):
        from stsr_cli.upscale import upscale

    if options is None:
        return upscale
    from stsr_cli.distribute.runner import Distributed

    return partial(upscale, runner=Distributed(options))


def _parse(text: str, cores: int | None, work_url: str | None) -> DistributeOptions:
    if local := _LOCAL.fullmatch(text):
        number = None if local[1] is None else int(local[1])
        if number != 0:
            return DistributeOptions("local", number, None, cores, None, work_url)
    if ray := _RAY.fullmatch(text):
        address = f"ray{ray[1]}" if ray[1] else ray[2]
        return DistributeOptions("ray", None, address, cores, None, work_url)
    raise click.BadParameter(
        f"{text!r} says not who; write local:4, ray, ray://HOST:10001 or ray:HOST:6379",
        param_hint="--distribute",
    )
