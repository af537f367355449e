"""What every model card of stsr says, be it of a run or of published weights: how to use them and what they are."""

import json
from collections.abc import Mapping
from typing import Any

from stsr_cli.checkpoint import PARTS, Weights
from stsr_cli.options import DEFAULT_SPATIAL, DEFAULT_TEMPORAL
from stsr_cli.registry import name_of
from stsr_cli.text import command_line

_ROLES = {"spatial": "f_S", "temporal": "f_T", "cdca": "system"}
_DEFAULTS = (
    ("spatial", DEFAULT_SPATIAL),
    ("temporal", DEFAULT_TEMPORAL),
)


def networks_of(weights: Weights) -> dict[str, Any]:
    """The networks that a file holds, by part."""
    parts: dict[str, Any] = {part: getattr(weights, part) for part in PARTS}
    return {part: network for part, network in parts.items() if network is not None}


def num_parameters(network: Any) -> int:
    """How many numbers training may change."""
    return sum(parameter.numel() for parameter in network.parameters())


def card_text(
    title: str, name: str, weights: Weights, sections: Mapping[str, str], about: str = ""
) -> str:
    """The card as Markdown.

    Args:
        title: its heading.
        name: what `--weights` takes: a path or a name.
        weights: what they hold.
        sections: what else there is to say, by heading, in order; an empty one is left out.
        about: follows what stsr is.
    """
    rows = "\n".join(
        f"| {_ROLES[part]} | {network.card.title} (`{name_of(network)}`) "
        f"| {num_parameters(network):,} | `{json.dumps(dict(network.config), sort_keys=True)}` |"
        for part, network in networks_of(weights).items()
    )
    rest = "".join(f"\n## {heading}\n\n{text}\n" for heading, text in sections.items() if text)
    return f"""
# {title}

Weights of stsr, which upscales a video in space and time.{about and f" {about}"}

## Use

```sh
{_command(name, weights)}
```

## Modules

| | module | parameters | configuration |
|---|---|---|---|
{rows}
{rest}"""


def _command(name: str, weights: Weights) -> str:
    """The command that upscales with these weights; what they lack is of the published ones."""
    command = command_line(["stsr", "upscale", "in.mp4", "out.mp4", "--weights", name])
    networks = networks_of(weights)
    if "cdca" in networks:
        command += " --system cdca"
    for part, default in _DEFAULTS:
        if part in networks and name_of(networks[part]) != default:
            command += f" --{part} {name_of(networks[part])}"
    return command
