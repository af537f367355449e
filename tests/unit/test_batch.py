"""Which files a batch means, what their outputs are called, what is done: names, folders and journals."""

import json
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import pytest

from stsr_cli.batch.inputs import find_inputs
from stsr_cli.batch.journal import NAME, Journal
from stsr_cli.batch.naming import FIELDS, check_pattern, extension, output_name, rate_text
from stsr_cli.batch.plan import Item
from stsr_cli.batch.run import run_batch
from stsr_cli.errors import InputError, InterruptedRun, StsrError, UsageError
from stsr_cli.options import EncodeOptions, UpscaleOptions
from stsr_cli.upscale import Silent
from stsr_cli.video.images.sequence import contents


@pytest.fixture
def touch(tmp_path, monkeypatch):
    """Make files with their names in them, in a folder that is the current one."""
    monkeypatch.chdir(tmp_path)

    def make(*names):
        for name in names:
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            Path(name).write_text(name, encoding="utf-8")

    return make


def found(*paths, output=None, recursive=False):
    inputs = find_inputs([Path(path) for path in paths], output, recursive=recursive)
    return [(str(one.path), str(one.folder)) for one in inputs]


def test_a_folder_means_its_videos_in_natural_order(touch):
    touch(
        "c/10.mp4", "c/9.MKV", "c/a.txt", "c/p.png", "c/.h.mp4", "c/s/x.mov", "c/w.mp4.stsr/0.nut"
    )
    assert found("c") == [("c/9.MKV", "."), ("c/10.mp4", ".")]
    assert found("c", recursive=True) == [("c/9.MKV", "."), ("c/10.mp4", "."), ("c/s/x.mov", "s")]


def test_every_file_counts_once_and_those_named_need_no_ending(touch):
    touch("c/a.mp4", "odd.bin")
    assert found("odd.bin", "c/a.mp4", "c", "./c/../c/a.mp4", "gone.mp4") == [
        ("odd.bin", "."),
        ("c/a.mp4", "."),
        ("gone.mp4", "."),
    ]


@pytest.mark.posix
def test_the_folder_of_outputs_is_not_searched_and_links_of_folders_are_not_followed(touch):
    touch("c/a.mp4", "c/out/a.mp4", "c/s/b.mp4")
    Path("c/s/loop").symlink_to("..")
    Path("c/s/other.mp4").symlink_to("../a.mp4")
    names = found("c", output=Path("c/out"), recursive=True)
    assert names == [("c/a.mp4", "."), ("c/s/b.mp4", "s")]


@pytest.mark.parametrize(("paths", "error"), [(["c"], InputError), (["-", "c/s"], UsageError)])
def test_a_folder_without_videos_and_a_pipe_are_refused(touch, paths, error):
    touch("c/s/a.mp4")
    with pytest.raises(error, match=r"-r looks into|use it alone"):
        found(*paths)


FRAMES = " ".join(f"{number:04d}.png" for number in range(1, 9))


@pytest.mark.parametrize(
    ("names", "videos", "images", "artwork"),
    [
        ("a.mp4 b.txt a.srt a.nfo Thumbs.db", 1, 0, 0),
        ("a.mp4 folder.jpg cover.png", 1, 0, 2),
        ("a.mp4 b.mkv a-poster.jpg a-fanart1.jpg b.jpg season01-poster.jpg", 2, 0, 4),
        ("show.s01e01.mp4 show.s01e02.mp4 show.s01e01-thumb.jpg show.s01e02-thumb.jpg", 2, 0, 2),
        ("a.mp4 holiday.png", 1, 0, 1),
        (f"{FRAMES}", 0, 8, 0),
        (f"a.mp4 {FRAMES}", 1, 8, 0),
        (f"a.mp4 cover.jpg {FRAMES}", 1, 8, 1),
        ("a.mp4 IMG_0003.JPG IMG_0009.JPG IMG_0150.JPG", 1, 0, 3),
        ("cover.jpg", 0, 1, 0),
        (".a.mp4 ._b.mkv 1.png", 0, 1, 0),
        ("s/a.mp4 b.txt", 0, 0, 0),
    ],
)
def test_what_a_folder_holds(touch, names, videos, images, artwork):
    touch(*(f"c/{name}" for name in names.split()))
    found = contents(Path("c"))
    assert [len(one) for one in (found.videos, found.images, found.artwork)] == [
        videos,
        images,
        artwork,
    ]


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("{stom}{ext}", ["{stom}", *FIELDS]),
        ("{stem.real}", ["{stem.real}"]),
        ("{}", ["is no field"]),
        ("{stem", ["expected '}'"]),
        ("{stem:d}", ["Unknown format code"]),
        ("{w:{x}}", ["'x'"]),
        ("", ["names a folder"]),
        ("{stem}/", ["names a folder"]),
    ],
)
def test_a_pattern_that_cannot_be(pattern, words):
    with pytest.raises(UsageError) as caught:
        check_pattern(pattern)
    assert all(word in str(caught.value) for word in words)


def test_a_pattern_with_every_field():
    values = dict(
        zip(FIELDS, ["a", "a.avi", ".mkv", 256, 192, "59.94", 4, 2, 7, "/c"], strict=True)
    )
    pattern = "{parent}/{index:03d}-{stem}_{w}x{h}_{fps}fps_{scale}x{time_scale}{{}}_{name}{ext}"
    check_pattern(pattern)
    assert output_name(pattern, values) == "/c/007-a_256x192_59.94fps_4x2{}_a.avi.mkv"


@pytest.mark.parametrize(
    ("rate", "text"),
    [("60", "60"), ("60000/1001", "59.94"), ("24000/1001", "23.976"), ("25/2", "12.5")],
)
def test_a_rate_in_a_name(rate, text):
    assert rate_text(Fraction(rate)) == text


def test_an_ending_that_stsr_writes_is_kept():
    assert [extension(Path(f"a{e}")) for e in (".MP4", ".webm", ".avi", ".h264", "")] == [
        *(".MP4", ".webm"),
        *[".mkv"] * 3,
    ]


@pytest.fixture
def run(touch):
    """A run of which source and target are there."""
    touch("in.mp4", "out/in.mp4")
    return UpscaleOptions(Path("in.mp4"), Path("out/in.mp4"))


def changed(run, **values):
    return UpscaleOptions(**{**run.__dict__, **values})


def made(run):
    """Note a run as one that was begun and finished; the target is replaced."""
    journal = Journal(run.target.parent)
    journal.begin(run)
    part = run.target.with_suffix(".part")
    part.write_text("the output", encoding="utf-8")
    part.replace(run.target)
    journal.finish(run)


def test_the_journal_knows_what_it_was_told(run):
    assert Journal(Path("out")).objection(run) == "it was not made by a batch"
    made(run)
    journal = Journal(Path("out"))
    assert journal.objection(run) == ""
    assert journal.wrote(run.target)
    how = {"batch_size": 3, "overwrite": True, "resume": False, "segment": Fraction(5)}
    assert journal.objection(changed(run, **how)) == ""
    assert journal.objection(changed(run, scale=1)) == "scale was 4 and is 1"
    encode = EncodeOptions(crf=20)
    assert journal.objection(changed(run, encode=encode)) == "crf was None and is 20"
    run.source.write_text("another", encoding="utf-8")
    assert journal.objection(run) == "its source was another one"
    run.target.write_text("touched by hand", encoding="utf-8")
    assert journal.objection(run) == "it was changed since it was made"
    assert not journal.wrote(run.target)


def test_a_kill_between_an_output_and_its_line(run):
    """What is there afterwards is done, unless it was there before."""
    journal = Journal(Path("out"))
    journal.begin(run)
    assert Journal(Path("out")).objection(run) == "it was there before"
    assert not Journal(Path("out")).wrote(run.target)
    Path("out/part").write_text("the new one", encoding="utf-8")
    Path("out/part").replace(run.target)
    assert Journal(Path("out")).objection(run) == ""
    assert Journal(Path("out")).wrote(run.target)


def test_weights_count_by_what_is_in_them(run, touch):
    touch("w.safetensors")
    model = run.model.__class__(weights=("w.safetensors",))
    run = changed(run, model=model)
    made(run)
    assert Journal(Path("out")).objection(run) == ""
    Path("w.safetensors").write_text("other weights", encoding="utf-8")
    assert "weights was" in Journal(Path("out")).objection(run)


@pytest.mark.parametrize("line", [b'{"output": "oth', b"[" * 200_000], ids=["half", "deep"])
def test_a_line_that_was_cut_off_costs_that_line_alone(run, line):
    made(run)
    with Path("out", NAME).open("ab") as file:
        file.write(line)
    made(run)
    assert Journal(Path("out")).objection(run) == ""
    lines = Path("out", NAME).read_bytes().splitlines()
    assert [json.loads(line)["output"] for line in (*lines[:2], *lines[3:])] == ["in.mp4"] * 4


def test_an_option_that_came_later_was_as_it_is_by_default(run):
    made(run)
    path = Path("out", NAME)
    record = json.loads(path.read_text().splitlines()[-1])
    del record["options"]["dedup"]
    path.write_text(json.dumps(record))
    assert Journal(Path("out")).objection(run) == ""
    assert Journal(Path("out")).objection(changed(run, dedup=True)) == "dedup was False and is True"


class Told(Silent):
    """Keeps the results."""

    def __init__(self):
        self.results = []

    def on_file(self, item, num_files):
        return self

    def on_result(self, result):
        self.results.append((result.index, result.state, result.exit_code))


def batch(tmp_path, errors, damaged="", **wishes):
    """Run a file for each of `errors`, which it raises; None: it succeeds, if among `damaged` with damage."""
    items = []
    for index in range(1, len(errors) + 1):
        run = UpscaleOptions(tmp_path / f"{index}", tmp_path / "out" / f"{index}")
        run.source.write_text("source")
        items.append(Item(index, run.source, run))
    tried = []

    def make(run, listener):
        tried.append(run.source.name)
        error = errors[int(run.source.name) - 1]
        if error:
            raise error
        run.target.write_text("target")
        return SimpleNamespace(damage=("a frame",) if run.source.name in damaged else ())

    told = Told()
    report = run_batch(items, told, make, **wishes)
    assert [result.index for result in report.results] == [index for index, *_ in told.results]
    return [state for _, state, _ in told.results], report.exit_code, tried


def test_a_failure_is_that_files_alone(tmp_path):
    states, code, _ = batch(tmp_path, [None, InputError("x"), StsrError("x"), None])
    assert states == ["done", "failed", "failed", "done"]
    assert code == 1


def test_all_alike_and_all_done(tmp_path):
    assert batch(tmp_path, [InputError("x"), InputError("y")])[1] == 4
    assert batch(tmp_path, [InputError("x"), UsageError("y")])[1] == 1
    assert batch(tmp_path, [None, None])[:2] == (["done", "done"], 0)


def test_damage_counts_where_nothing_failed(tmp_path):
    assert batch(tmp_path, [None, None], damaged="2")[:2] == (["done", "done"], 3)
    assert batch(tmp_path, [None, InputError("x")], damaged="1")[1] == 1


def test_a_bug_is_a_failure_and_is_logged(tmp_path, caplog):
    states, code, _ = batch(tmp_path, [ZeroDivisionError("oh"), None])
    assert (states, code) == (["failed", "done"], 1)
    assert "a bug of stsr" in caplog.text
    assert "ZeroDivisionError: oh" in caplog.text


@pytest.mark.parametrize("error", [KeyboardInterrupt(), InterruptedRun("stopped", goes_on=True)])
def test_an_interruption_ends_the_batch(tmp_path, error):
    states, code, tried = batch(tmp_path, [None, error, None])
    assert states == ["done", "interrupted", "not tried"]
    assert (code, tried) == (130, ["1", "2"])


def test_halt_on_error(tmp_path):
    states, code, tried = batch(tmp_path, [None, StsrError("x"), None], halt_on_error=True)
    assert states == ["done", "failed", "not tried"]
    assert (code, tried) == (1, ["1", "2"])
