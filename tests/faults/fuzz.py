"""Mutates real small clips and runs the real command on each: `python -m tests.faults.fuzz --minutes 10 --seed 0`.

Each outcome must be a verified output (exit code 0 or 3) or one line of error with its exit code; never a hang, a
crash, a traceback, a bomb of memory, or a file left behind. What is not so is saved with the command that shows it.
"""

import argparse
import collections
import json
import random
import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from .harness import Outcome, import_all, run
from .mutate import MUTATIONS, splice
from .seeds import SEEDS

DEMO = Path(__file__).resolve().parents[1] / "data" / "demo.mp4"
PLAIN = ("--spatial", "bicubic", "--temporal", "blend", "--scale", "1", "--preset", "ultrafast")
_PIPES = frozenset({".nut", ".y4m", ".mkv", ".ts", ".mpg", ".webm"})
_MORE = (
    (),
    (),
    (),
    ("--time-scale", "1"),
    ("--start", "0.1"),
    ("--end", "0.3"),
    ("--deinterlace", "bwdif"),
    ("--deinterlace", "fields"),
    ("--dedup",),
    ("--fps", "30"),
    ("--max-bad-frames", "0"),
    ("--segment", "0.1"),
    ("--segment", "0.1"),
)


@dataclass(frozen=True)
class Case:
    """One mutated clip and the command that is run on it.

    Attributes:
        name: of the file; its ending says what it claims to be.
        kind: of the mutation.
        data: the file.
        arguments: of the command; INPUT stands for the file.
        output: name of what is written, or None.
        is_piped: whether the file goes into the standard input.
    """

    name: str
    kind: str
    data: bytes
    arguments: tuple[str, ...]
    output: str | None
    is_piped: bool = False


def load_seeds(*, with_demo: bool = True) -> dict[str, bytes]:
    """The clips that are mutated, by name."""
    seeds = {path.name: path.read_bytes() for path in sorted(SEEDS.iterdir())}
    return {**seeds, **({"demo.mp4": DEMO.read_bytes()} if with_demo else {})}


def make_case(seeds: dict[str, bytes], seed: int, index: int) -> Case:
    """The mutation of that number, always the same."""
    rng = random.Random(f"{seed}/{index}")
    names = [*seeds, *(name for name in seeds if name.endswith((".mp4", ".mkv", ".ts")))]
    name = rng.choice(names)
    data = seeds[name]
    if rng.random() < 0.08:
        kind, data = "two files spliced", splice(data, seeds[rng.choice(names)], rng)
    else:
        kinds = [*MUTATIONS, "bits turned over", "header field changed", "header field changed"]
        kind = rng.choice(kinds)
        for _ in range(rng.choice((1, 1, 1, 2, 4))):
            data = MUTATIONS[kind](data, rng) if data else data
    suffix = Path(name).suffix
    chance = rng.random()
    if chance < 0.1:
        more = rng.choice(((), ("--json",), ("--scenes",)))
        return Case(name, kind, data, ("probe", *more, "INPUT"), None)
    if chance < 0.13:
        return Case(name, kind, data, ("probe", *PLAIN, "INPUT", "out.mkv"), None)
    output = rng.choice(("out.mkv", "out.mp4", "out.mkv", "out.mp4", "out.mov", "out.webm"))
    more = rng.choice(_MORE)
    if output == "out.webm":
        more = (*more, "--codec", "libvpx", "--preset", "16")
    if chance < 0.25 and suffix in _PIPES and "--start" not in more:
        return Case(name, kind, data, ("upscale", *PLAIN, *more, "-", output), output, True)
    return Case(name, kind, data, ("upscale", *PLAIN, *more, "INPUT", output), output)


def run_case(case: Case, folder: Path) -> Outcome:
    """Write the clip into a fresh folder and run the command there."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    source = folder / f"in{Path(case.name).suffix}"
    source.write_bytes(case.data)
    arguments = [source.name if word == "INPUT" else word for word in case.arguments]
    stdin = source if case.is_piped else None
    return run(folder, arguments, output=case.output, stdin=stdin)


def _save(folder: Path, case: Case, index: int, seed: int, outcome: Outcome) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{seed}-{index}{Path(case.name).suffix}"
    path.write_bytes(case.data)
    facts = {"arguments": case.arguments, "kind": case.kind, "seed": case.name}
    facts |= {"code": outcome.code, "faults": outcome.faults, "stderr": outcome.stderr[-3000:]}
    path.with_suffix(".json").write_text(json.dumps(facts, indent=1))


def main() -> int:
    """Run for so long, say what came, and return 1 if anything did that must not."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first mutation")
    parser.add_argument("--count", type=int, default=10**9, help="of mutations at most")
    parser.add_argument(
        "--save", type=Path, default=Path("faults-found"), help="folder of what fails"
    )
    parser.add_argument("--tally", type=Path, help="JSON file that the counts are added to")
    options = parser.parse_args()
    import_all()
    seeds = load_seeds()
    end = time.monotonic() + 60 * options.minutes
    tally: collections.Counter[str] = collections.Counter()
    num_faults, index = 0, options.first
    with tempfile.TemporaryDirectory(prefix="stsr-fuzz-") as place:
        while time.monotonic() < end and index < options.first + options.count:
            case = make_case(seeds, options.seed, index)
            outcome = run_case(case, Path(place) / "run")
            if outcome.faults:
                num_faults += 1
                _save(options.save, case, index, options.seed, outcome)
                print(f"{index} {case.name} {case.kind}: {'; '.join(outcome.faults)}", flush=True)
            what = "fault" if outcome.faults else str(outcome.code)
            tally[f"{case.kind}|{Path(case.name).suffix}|{case.arguments[0]}|{what}"] += 1
            index += 1
            if (index - options.first) % 500 == 0:
                print(f"{index - options.first} done, {num_faults} faults", flush=True)
                _add(options.tally, tally)
    _add(options.tally, tally)
    print(f"{index - options.first} mutations, {num_faults} faults")
    return int(num_faults > 0)


def _add(path: Path | None, tally: "collections.Counter[str]") -> None:
    """Add the counts to those in the file, and start anew."""
    if path is None:
        return
    known = (
        collections.Counter(json.loads(path.read_text())) if path.exists() else tally.__class__()
    )
    known.update(tally)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(dict(sorted(known.items())), indent=0))
    part.replace(path)
    tally.clear()


if __name__ == "__main__":
    sys.exit(main())
