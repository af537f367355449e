"""Finding out what a container format holds: a small file of it is written into memory and read back."""

import io
from typing import Any

import av
from av.container import OutputContainer
from av.format import ContainerFormat, Flags


def trial_container(data: io.BytesIO, format_name: str, **options: Any) -> OutputContainer:
    """Open a container in memory, with options of `av.open`.

    Raises:
        ValueError: muxers of the format open files by name, whatever they are given: one would be left behind.
    """
    if Flags.no_file in Flags(ContainerFormat(format_name, "w").flags):
        raise ValueError(f"{format_name} cannot be written into memory")
    return av.open(data, mode="w", format=format_name, **options)
