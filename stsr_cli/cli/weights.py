"""`stsr weights`."""

import json
from pathlib import Path
from typing import Any

import click

from stsr_cli.cli.fields import option_of
from stsr_cli.cli.loading import loading
from stsr_cli.errors import WeightsError
from stsr_cli.options import PushOptions

_path = click.Path(path_type=Path)
_push_option = option_of(PushOptions)
_offline = click.option("--offline", is_flag=True, help="Fetch nothing; use what is here.")


@click.group()
def command() -> None:
    """List, fetch, check, publish and convert weights.

    A NAME is one that `list` shows, the path of a .safetensors file, or hf:OWNER/REPO[@REVISION]:FILE.safetensors on
    the Hugging Face Hub. What is fetched lies in the Hub's cache (HF_HOME); HF_ENDPOINT, HF_TOKEN and proxies count.
    """


@command.command("list")
@click.option("--json", "is_json", is_flag=True, help="Print everything known, on stdout.")
def list_weights(is_json: bool) -> None:
    """Show what is published, where it is, and its results."""
    with loading():
        from stsr_cli import hub
        from stsr_cli.checkpoint import PARTS
        from stsr_cli.console import print_table

    entries = hub.manifest()
    missing = hub.without_weights()
    if is_json:
        weights = [
            {"name": name, "place": hub.place(name), "path": _text(hub.local_path(name)), **entry}
            for name, entry in entries.items()
        ]
        click.echo(json.dumps({"weights": weights, "without_weights": missing}, indent=1))
        return
    print_table(
        "published weights",
        ["name", "where", "modules", "MiB", "licence", "PSNR"],
        [
            [
                name,
                hub.place(name),
                " + ".join(entry[part] for part in PARTS if part in entry),
                f"{entry['size_bytes'] / 2**20:.1f}" if "size_bytes" in entry else "",
                entry.get("licence", "unknown"),
                " / ".join(_psnr(entry, dataset) for dataset in ("vid4", "middlebury")),
            ]
            for name, entry in entries.items()
        ],
        "PSNR: RGB, dB, of the frame in between, 4x, S->T of a pair, on Vid4 / Middlebury.",
    )
    click.echo(
        f"Non-commercial research: the weights, and what you make with them, are for that only; {hub.terms_file()}",
        err=True,
    )
    without = [
        f"{'f_S' if kind == 'spatial' else 'f_T'} {', '.join(names)}"
        for kind, names in missing.items()
        if names
    ]
    if without:
        click.echo(
            f"No weights are published yet for {'; '.join(without)}: convert a checkpoint (stsr weights convert) or "
            "train some (stsr train), and give them with --weights.",
            err=True,
        )


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


def _psnr(entry: dict[str, Any], dataset: str) -> str:
    results = entry.get("results", {}).get(dataset, {})
    value = results.get("s2t", results.get("cdca"))
    return "-" if value is None else f"{value:.2f}"


@command.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@_offline
def pull(names: tuple[str, ...], offline: bool) -> None:
    """Fetch weights into the Hub's cache and check their sha256."""
    with loading():
        from stsr_cli import hub

    for name in names:
        before, where = hub.local_path(name), hub.place(name)
        path = hub.resolve_weights(name, offline)
        if where in ("embedded", "file"):
            said = "ships with stsr" if where == "embedded" else "is a file"
            said += ", nothing to fetch"
        else:
            said = "fetched" if before is None or not path.samefile(before) else "was here"
            said += ", sha256 " + (hub.expected_sha256(name) or "unknown to the Hub: not checked")
        click.echo(f"{name}: {said}: {path}", err=True)


@command.command("path")
@click.argument("name")
@_offline
def print_path(name: str, offline: bool) -> None:
    """Print the local path of NAME; it is fetched if it is not here."""
    with loading():
        from stsr_cli.hub import resolve_weights

    click.echo(str(resolve_weights(name, offline)))


@command.command()
@click.argument("names", metavar="[NAME]...", nargs=-1)
@_offline
def verify(names: tuple[str, ...], offline: bool) -> None:
    """Check that weights have their sha256 and load.

    Without a NAME, checks all that ship with stsr or are cached.
    """
    with loading():
        from stsr_cli import hub
        from stsr_cli.console import print_table

    checked = names or tuple(name for name in hub.manifest() if hub.place(name) != "hub")
    rows, bad = [], []
    for name in checked:
        try:
            hub.verify(name, offline)
            rows.append([name, hub.place(name), "ok"])
        except WeightsError as error:
            bad.append(name)
            rows.append([name, "", str(error)])
    print_table("weights on this machine", ["name", "where", "state"], rows, "")
    if bad:
        raise WeightsError(
            f"{len(bad)} of {len(rows)} weights are bad: {', '.join(bad)}; fetch cached ones again with "
            "`stsr weights pull`, embedded ones by installing stsr again"
        )


@command.command()
@click.argument("weights", metavar="WEIGHTS", type=_path)
@click.argument("repo", metavar="OWNER/REPO")
@_push_option(
    "--branch", "--revision", "branch", help="Branch, created if missing [default: main]."
)
@click.option("--private", is_flag=True, help="Make a repository that is new a private one.")
@_push_option("--message", help="Of the commit.")
@_push_option(
    "--card",
    type=_path,
    help="Model card, a Markdown file [default: the repository's own, else one that is written].",
)
@_push_option("--licence", help="Such as cc-by-nc-4.0 [default: that of published weights].")
@click.option("--dry-run", is_flag=True, help="Print what would be uploaded; contact nobody.")
def push(dry_run: bool, **values: Any) -> None:
    """Upload WEIGHTS and a model card to the Hub, in one commit.

    Prints the hf: name of the weights at that commit and the manifest entry that pins them. Log in first (`hf auth
    login`, or HF_TOKEN).
    """
    options = PushOptions(**values)
    with loading():
        from stsr_cli import publish

    upload = publish.prepare(options)
    if dry_run:
        kind = "a private repository" if options.private else "a repository"
        click.echo(f"to {options.repo}, {kind}, branch {options.branch or 'main'}:")
        for file, size_bytes, digest in upload.files():
            click.echo(f"  {file}  {size_bytes:,} bytes  sha256 {digest}")
        if options.card is None:
            click.echo("A card that the repository has is kept, with the metadata it lacks added.")
        click.echo(f"{publish.CARD}:\n{upload.card}", nl=False)
        return
    published = publish.push(upload)
    click.echo(published.name)
    click.echo(json.dumps(published.entry, indent=1))


@command.command()
@click.argument("checkpoint", metavar="CHECKPOINT", type=_path)
@click.option("--arch", required=True, help="Name of the network that the checkpoint is of.")
@click.option("-o", "--out", type=_path, required=True, help="Weights file (.safetensors).")
@click.option("-y", "--overwrite", is_flag=True, help="Replace OUT if it exists.")
def convert(checkpoint: Path, arch: str, out: Path, overwrite: bool) -> None:
    """Make weights of stsr from a checkpoint of another program.

    ARCH is vdsr (twtygqyy/pytorch-vdsr), espcn (Lornatang/ESPCN-PyTorch, leftthomas/ESPCN), dbpn
    (alterzero/DBPN-Pytorch), dvf (lxx1991/pytorch-voxel-flow), superslomo (avinashpaliwal/Super-SloMo) or dain
    (baowenbo/DAIN). Tensors are read, code never runs.
    """
    with loading():
        from stsr_cli.convert import convert_checkpoint

    done = convert_checkpoint(checkpoint, arch, out, overwrite)
    click.echo(
        f"{done.name}: {done.num_parameters:,} parameters, {json.dumps(dict(done.config))}; "
        f"reference: {done.reference}. The terms of the checkpoint go on to hold for {out.name}.",
        err=True,
    )
    click.echo(str(out))
