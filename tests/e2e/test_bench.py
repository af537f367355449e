"""`stsr bench`: counts by hand, sane times, and what a program reads."""

import json

import pytest

from stsr_cli import bench

HEIGHT, WIDTH = 16, 28
PIXELS = HEIGHT * WIDTH
BICUBIC_MACS = 3 * 16 * 25 * PIXELS  # 16 outputs of 25 taps a pixel and channel

KEYS = {
    *("spatial", "temporal", "stream", "median_ms", "p95_ms", "params", "gmacs", "gflops"),
    *("peak_share", "peak_memory_bytes", "num_runs", "size", "device", "precision", "threads"),
    *("machine", "torch", "product_gflops"),
}


def case(spatial: str, stream: bench.Stream, repeats: int = 1) -> bench.Case:
    return bench.Case(spatial, "blend", stream, HEIGHT, WIDTH, None, "cpu", "fp32", repeats)


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
        (["--spatial", "bicubik"], 2, "did you mean 'bicubic'?"),
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
