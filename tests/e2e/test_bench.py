"""`stsr bench`: counts by hand, sane times, and what a program reads."""

import json

import pytest
import torch
from click.testing import CliRunner

from stsr_cli import bench
from stsr_cli.checkpoint import Weights, save_weights
from stsr_cli.cli import main
from stsr_cli.errors import StsrError
from stsr_cli.options import ModelOptions, Stream
from stsr_cli.registry import available, build

HEIGHT, WIDTH = 16, 28
PIXELS = HEIGHT * WIDTH
BICUBIC_MACS = 3 * 16 * 25 * PIXELS  # 16 outputs of 25 taps a pixel and channel

KEYS = {
    *(
        "system",
        "spatial",
        "temporal",
        "stream",
        "median_ms",
        "p95_ms",
        "params",
        "gmacs",
        "gflops",
    ),
    *("peak_share", "peak_memory_bytes", "num_runs", "size", "device", "precision", "threads"),
    *("machine", "torch", "product_gflops"),
}


def case(spatial: str, stream: Stream, repeats: int = 1) -> bench.Case:
    options = ModelOptions(spatial, "blend", stream=stream, device="cpu", precision="fp32")
    return bench.Case(options, HEIGHT, WIDTH, None, repeats)


@pytest.mark.parametrize(("stream", "num_upscales"), [("t2s", 1), ("s2t", 2)])
def test_multiply_adds_are_those_of_the_layers(stream, num_upscales) -> None:
    result = bench.measure(case("espcn", stream))
    layers = 64 * 25 + 32 * 64 * 9 + 16 * 32 * 9  # the paper's three convolutions, a luma pixel
    chroma = 2 * 16 * 25
    colour = 9 + 9 * 16  # to YCbCr, and back at 16 times the pixels
    assert result.macs == num_upscales * PIXELS * (layers + chroma + colour)
    assert result.params == 24_752
    assert len(result.seconds) >= 1
    assert result.flops == pytest.approx(2 * result.macs / bench.quantile(result.seconds, 0.5))


def test_rows_share_the_best_product_of_the_run() -> None:
    results = [
        bench.Result(
            case("bicubic", "t2s"),
            (0.1, 0.2, 0.4),
            0,
            10**9,
            1,
            flops,
            1,
            "cpu",
            "fp32",
            "a machine",
        )
        for flops in (5e10, 8e10)
    ]
    for row in bench.rows(results):
        assert row["median_ms"] == pytest.approx(200)
        assert row["p95_ms"] == pytest.approx(380)
        assert row["gmacs"] == pytest.approx(1)
        assert row["gflops"] == pytest.approx(10)
        assert row["peak_share"] == pytest.approx(0.125)
        assert row["product_gflops"] == pytest.approx(80)


@pytest.mark.parametrize(("share", "expected"), [(0, 1), (0.5, 2.5), (0.95, 3.85), (1, 4)])
def test_quantile_is_linear_between_neighbours(share: float, expected: float) -> None:
    assert bench.quantile((1, 2, 3, 4), share) == pytest.approx(expected)
    assert bench.quantile((7,), share) == 7


def test_json_has_a_row_for_every_stream(run_stsr) -> None:
    options = ["--spatial", "bicubic", "--temporal", "blend", "--size", f"{HEIGHT}x{WIDTH}"]
    result = run_stsr(
        "bench", *options, "--repeats", "4", "--threads", "1", "--device", "cpu", "--json"
    )
    assert result.returncode == 0, result.stderr
    rows = json.loads(result.stdout)
    assert [row["stream"] for row in rows] == ["t2s", "s2t"]
    for row, num_upscales in zip(rows, (1, 2), strict=True):
        assert row.keys() == KEYS
        assert row["size"] == f"{HEIGHT}x{WIDTH}"
        assert (row["params"], row["threads"]) == (0, 1)
        assert (row["device"], row["precision"]) == ("cpu", "fp32")
        assert row["gmacs"] * 1e9 == pytest.approx(num_upscales * BICUBIC_MACS)
        assert row["num_runs"] == 4
        assert 0 < row["median_ms"] <= row["p95_ms"]
        assert 0 < row["peak_share"] < 1
        # The frames alone are 100 kB; the process as a whole is some hundred MB.
        assert 10_000 < row["peak_memory_bytes"] < 200e6


def test_counts_without_running_are_those_of_the_run(monkeypatch) -> None:
    monkeypatch.setattr(bench, "_product_flops", lambda _: 1.0)
    cases = [case(spatial, stream) for spatial in ("bicubic", "espcn") for stream in ("t2s", "s2t")]
    cases.append(bench.Case(ModelOptions(system="cdca", device="cpu"), HEIGHT, WIDTH, None, 1))
    counted = bench.count_macs([one.model for one in cases], HEIGHT, WIDTH)
    assert counted == [bench.measure(one).macs for one in cases]


def test_counting_a_module_whose_way_depends_on_numbers() -> None:
    class Counting(torch.nn.Module):
        def forward(self, frame0, frame1):
            return frame0 @ frame1.mT if frame0.max().item() < 2 else frame0

    assert bench._macs(Counting(), Counting.forward, 4, 5) == 3 * 4 * 4 * 5


def test_cdca_has_a_row_of_its_own(run_stsr) -> None:
    size = ("--size", f"{HEIGHT}x{WIDTH}", "--repeats", "3", "--threads", "1", "--json")
    result = run_stsr("bench", "--system", "cdca", *size)
    assert result.returncode == 0, result.stderr
    (row,) = json.loads(result.stdout)
    assert row.keys() == KEYS
    assert row["system"] == "cdca"
    assert [row[name] for name in ("spatial", "temporal", "stream")] == [None] * 3
    layers = 2 * (3 * 64 * 81 + 64 * 32 * 25) + 32 * 32 * 10
    assert row["gmacs"] * 1e9 == pytest.approx(16 * PIXELS * layers + BICUBIC_MACS)
    assert row["params"] == layers + 2 * (64 + 32) + 32 + 3


def test_what_takes_long_is_left_out_and_named(monkeypatch) -> None:
    """Nothing is run: what would be measured is looked at."""
    measured: list[str] = []

    def note(cases, _):
        measured.extend(one.model.title for one in cases)
        raise StsrError("noted")

    monkeypatch.setattr(bench, "run", note)
    monkeypatch.setattr(bench, "PAPER_SIZE", (HEIGHT, WIDTH))
    monkeypatch.setattr(bench, "QUICK_MACS", 10 * BICUBIC_MACS)
    arguments = ["bench", "--size", f"{HEIGHT}x{WIDTH}"]
    everything = len(available("spatial")) * len(available("temporal")) * 2 + 1
    result = CliRunner().invoke(main, arguments, prog_name="stsr")
    (line, last) = result.stderr.splitlines()
    assert line.startswith("left out, over ")
    assert "--pairs all" in line
    for title in ("span + rife (s2t) ", "CDCA 1.03"):
        assert title in line
    assert "bicubic + blend (s2t)" in measured
    assert len(measured) + line.count(" (") + line.count("CDCA") == everything
    for more in (["--pairs", "all"], ["--spatial", "span"]):
        measured.clear()
        result = CliRunner().invoke(main, [*arguments, *more], prog_name="stsr")
        assert result.stderr.splitlines() == [last]
        assert "span + rife (s2t)" in measured
        assert ("CDCA" in measured) == (more[0] == "--pairs")


def test_memory_grows_with_the_frames(run_stsr) -> None:
    found = []
    for size in ("16x28", "256x256"):
        result = run_stsr(
            *("bench", "--spatial", "bicubic", "--temporal", "blend", "--stream", "t2s"),
            *("--size", size, "--repeats", "3", "--json"),
        )
        assert result.returncode == 0, result.stderr
        found.append(json.loads(result.stdout)[0]["peak_memory_bytes"])
    hr_frame = 3 * 1024 * 1024 * 4
    assert found[1] - found[0] > hr_frame


def test_table_names_the_machine_and_the_papers_time(run_stsr) -> None:
    result = run_stsr(
        *("bench", "--spatial", "bicubic", "--temporal", "blend", "--stream", "t2s"),
        *("--size", "16x28", "--repeats", "2"),
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout == ""
    for word in ("bicubic", "blend", "GFLOP/s", "60 ms", "CDCA 18 ms", "1080 Ti"):
        assert word in " ".join(result.stderr.split()), word


@pytest.mark.parametrize(
    ("arguments", "exit_code", "message"),
    [
        (["--weights", "x.safetensors"], 2, "--weights needs a pair"),
        (
            ["--spatial", "bicubic", "--temporal", "dvf", "--weights", "x.safetensors"],
            5,
            "x.safetensors does not exist",
        ),
        (["--spatial", "bicubik"], 2, "did you mean 'bicubic'?"),
        (["--system", "cdca", "--spatial", "span"], 2, "--spatial cannot be used"),
        (["--size", "64"], 2, "HEIGHTxWIDTH"),
        (["--size", "0x5"], 2, "HEIGHTxWIDTH"),
        (["--spatial", "bicubic", "--temporal", "blend", "--device", "cuda:99"], 6, "cuda:99"),
    ],
)
def test_what_cannot_run_is_refused(run_stsr, arguments, exit_code, message) -> None:
    result = run_stsr("bench", *arguments)
    assert result.returncode == exit_code, result.stderr
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_weights_bring_their_configuration(run_stsr, tmp_path) -> None:
    path = tmp_path / "small.safetensors"
    save_weights(path, Weights(temporal=build("temporal", "dvf", {"num_channels": 4})))
    words = ["--spatial", "bicubic", "--temporal", "dvf", "--stream", "t2s", "--weights", path]
    result = run_stsr("bench", *words, "--size", "16x16", "--repeats", "1", "--json")
    assert result.returncode == 0, result.stderr
    (row,) = json.loads(result.stdout)
    small = build("temporal", "dvf", {"num_channels": 4})
    assert row["params"] == sum(parameter.numel() for parameter in small.parameters())
