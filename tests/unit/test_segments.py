"""Where segments begin, and the journal of those that are done."""

import json
import os
import random
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stsr_cli.errors import StsrError, UsageError
from stsr_cli.segments.grid import Grid
from stsr_cli.segments.journal import Journal, SegmentRecord, packed_times, work_folder
from stsr_cli.video.timing.retime import ConstantTimes
from stsr_cli.video.timing.timeline import Slot


def begins(grid, frames, read_from=None):
    """Index of the segment and pts of its first frame, for each segment that frames (pts, is_after_cut) are in."""
    found, index = [], -1
    for pts, is_after_cut in frames:
        if read_from is not None and pts < read_from:
            continue
        at = grid.index(pts, is_after_cut=is_after_cut)
        if at > index:
            index = at
            found.append((index, pts))
    return found


def test_segments_begin_on_the_grid_or_at_a_cut_shortly_before():
    grid = Grid.of(Fraction(1), 100, Fraction(1, 100), Fraction(25))
    assert (grid.step, grid.near) == (100, 25)
    frames = [(pts, pts in (150, 280, 290)) for pts in range(100, 500, 4)]
    frames = [(280, True) if pts == 280 else (pts, cut) for pts, cut in frames]
    assert begins(grid, frames) == [(0, 100), (1, 200), (2, 280), (3, 400)]


def test_a_hole_as_long_as_a_segment_leaves_one_out():
    grid = Grid.of(Fraction(1), 0, Fraction(1, 10), None)
    assert begins(grid, [(0, False), (5, False), (31, False)]) == [(0, 0), (3, 31)]


@given(
    st.lists(st.integers(1, 30), min_size=2, max_size=60),
    st.sets(st.integers(0, 60)),
    st.integers(1, 5),
)
def test_whoever_begins_to_read_anywhere_finds_the_same_first_frame(steps, cuts, seconds):
    grid = Grid.of(Fraction(seconds), 7, Fraction(1, 12), Fraction(12))
    pts = [7]
    for step in steps:
        pts.append(pts[-1] + step)
    frames = [(at, index in cuts) for index, at in enumerate(pts)]
    for index, first in begins(grid, frames):
        later = begins(grid, frames, read_from=grid.reading_start(index))
        assert next(found for found in later if found[0] >= index) == (index, first)


def record(index, following, run, folder, **wishes):
    name = f"{index:06d}.nut"
    (folder / name).write_bytes(b"x" * 10)
    values = {
        "index": index,
        "following": following,
        "first_pts": 10 * index,
        "first_checksum": index,
        "end_pts": 10 * (index + 1),
        "end_checksum": index + 1,
        "is_sought": False,
        "file": name,
        "num_bytes": 10,
        "sha256": "",
        "run": run,
        "delay": 2,
        "times": ((0, 5, 4), (20, 7, 1)),
        "num_frames": 3,
        "num_repeats": 0,
        "cuts": ((1, 5),),
        "counts": {"num_jumps": 0},
    }
    return SegmentRecord(**{**values, **wishes})


HEADER = {"source": {"bytes": 5}, "options": {"crf": 18, "scale": 4}}


def test_what_is_done_is_known_to_the_next_run(tmp_path):
    folder = tmp_path / "out.mp4.stsr"
    with Journal(folder, HEADER, resume=True) as journal:
        assert journal.missing == [(0, None)]
        made = [record(0, 1, journal.run, folder), record(4, 5, journal.run, folder)]
        for one in made:
            journal.add(one)
    with Journal(folder, HEADER, resume=True) as journal:
        assert list(journal.records.values()) == made
        assert journal.records[0].slots == [
            Slot(0, 5),
            Slot(5, 5),
            Slot(10, 5),
            Slot(15, 5),
            Slot(20, 7),
        ]
        assert journal.missing == [(1, 4), (5, None)]
        assert not journal.is_complete
        for index, following in ((1, 3), (3, 4), (5, None)):
            journal.add(record(index, following, journal.run, folder))
        assert journal.is_complete
        assert [one.index for one in journal.chain] == [0, 1, 3, 4, 5]
        journal.drop(4)
        assert journal.missing == [(4, 5)]
    with Journal(folder, HEADER, resume=True) as journal:
        assert journal.missing == [(4, 5)]
        (folder / "000003.nut").write_bytes(b"short")
    with Journal(folder, HEADER, resume=True) as journal:
        assert journal.missing == [(3, 5)]
    with Journal(folder, HEADER, resume=False) as journal:
        assert journal.missing == [(0, None)]
    assert sorted(path.name for path in folder.iterdir()) == [".lock", "journal.jsonl"]


def test_a_line_that_was_cut_short_is_no_line(tmp_path):
    folder = tmp_path / "work"
    with Journal(folder, HEADER, resume=True) as journal:
        for index in range(3):
            journal.add(record(index, index + 1, journal.run, folder))
    content = (folder / "journal.jsonl").read_bytes()
    ends = [place + 1 for place, byte in enumerate(content) if byte == ord("\n")]
    places = [0, 1, *ends, *random.Random(0).sample(range(len(content)), 40)]
    for place in places:
        (folder / "journal.jsonl").write_bytes(content[:place])
        with Journal(folder, HEADER, resume=True) as journal:
            assert len(journal.records) == max(sum(end <= place for end in ends) - 1, 0)
            journal.add(record(7, None, journal.run, folder))
        with Journal(folder, HEADER, resume=True) as journal:
            assert 7 in journal.records


def journal_of_three(folder):
    """A journal of three segments; its lines."""
    with Journal(folder, HEADER, resume=True) as journal:
        for index in range(3):
            journal.add(record(index, index + 1, journal.run, folder))
    return (folder / "journal.jsonl").read_bytes().splitlines(keepends=True)


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize(
    "damage",
    [b"", b"\x00\xff\x80\n", b'{"index": 1, "run": 3}\n', b"[1]\n", b"[" * 200_000 + b"\n"],
)
def test_a_damaged_line_costs_its_own_segment_and_is_said(place, damage, tmp_path):
    folder = tmp_path / "work"
    lines = journal_of_three(folder)
    lines[place] = damage
    (folder / "journal.jsonl").write_bytes(b"".join(lines))
    for is_first in (True, False):
        with Journal(folder, HEADER, resume=True) as journal:
            assert [*journal.records] == [index for index in range(3) if index + 1 != place]
            is_told = is_first and (damage or not place)
            assert len(journal.notes) == bool(is_told)
            for note in journal.notes:
                number = "3 segments" if not place else "2 segments"
                assert f"is damaged: {number} of this run can be used" in note
    changed = {**HEADER, "options": {"crf": 20}}
    with pytest.raises(UsageError, match="crf"):
        Journal(folder, changed, resume=True)


def test_segments_of_another_run_behind_a_damaged_first_line_are_left_alone(tmp_path):
    folder = tmp_path / "work"
    lines = journal_of_three(folder)
    (folder / "journal.jsonl").write_bytes(b"".join([b"{\n", *lines[1:]]))
    with pytest.raises(UsageError, match="another run, and its journal is damaged"):
        Journal(folder, {"options": {"crf": 20}}, resume=True)
    assert len([*folder.glob("*.nut")]) == 3


def test_a_segment_that_is_not_there_is_said_and_made_again(tmp_path):
    folder = tmp_path / "work"
    journal_of_three(folder)
    (folder / "000001.nut").unlink()
    with Journal(folder, HEADER, resume=True) as journal:
        assert [*journal.records] == [0, 2]
        assert "not as written: 1 segment in" in journal.notes[0]


def test_a_run_that_left_no_segment_hinders_none(tmp_path):
    folder = tmp_path / "work"
    Journal(folder, HEADER, resume=True).__exit__()
    with Journal(folder, {"options": {"crf": 20}}, resume=True) as journal:
        assert not journal.records and not journal.notes
        journal.add(record(0, None, journal.run, folder))
    with Journal(folder, {"options": {"crf": 20}}, resume=True) as journal:
        assert [*journal.records] == [0]


def test_another_run_is_told_what_differs(tmp_path):
    folder = tmp_path / "out.mkv.stsr"
    with Journal(folder, HEADER, resume=True) as journal:
        journal.add(record(0, 1, journal.run, folder))
        foreign = record(1, 2, "another", folder)
        with pytest.raises(StsrError, match="made for run"):
            journal.add(foreign)
    other = {"source": {"bytes": 5}, "options": {"crf": 20, "scale": 4}}
    with pytest.raises(UsageError, match=r"options crf was 18 and is 20; .*--no-resume"):
        Journal(folder, other, resume=True)
    with Journal(folder, HEADER, resume=True) as journal:
        assert journal.records, "nothing was lost by asking"


def test_one_process_at_a_time(tmp_path):
    with (
        Journal(tmp_path / "work", HEADER, resume=True),
        pytest.raises(UsageError, match="another stsr works in"),
    ):
        Journal(tmp_path / "work", HEADER, resume=True)
    Journal(tmp_path / "work", HEADER, resume=True).__exit__()


def test_neighbours_that_do_not_fit_are_found(tmp_path):
    with Journal(tmp_path / "work", HEADER, resume=True) as journal:
        for index in range(3):
            journal.add(record(index, index + 1, journal.run, journal.folder))
        assert journal.broken_seams() == []
        journal.add(record(1, 2, journal.run, journal.folder, first_checksum=99))
        ((before, after),) = journal.broken_seams()
        assert (before.index, after.index) == (0, 1)


def test_starting_over_deletes_nothing_that_is_not_stsrs(tmp_path):
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "holiday.mp4").write_bytes(b"mine")
    Journal(folder, HEADER, resume=False).__exit__()
    assert (folder / "holiday.mp4").read_bytes() == b"mine"


def test_a_journal_on_the_disk_is_json_lines(tmp_path):
    with Journal(tmp_path / "work", HEADER, resume=True) as journal:
        journal.add(record(0, None, journal.run, journal.folder))
    first, second = (tmp_path / "work" / "journal.jsonl").read_text().splitlines()
    assert json.loads(first)["options"] == HEADER["options"]
    assert json.loads(second)["times"] == [[0, 5, 4], [20, 7, 1]]


def test_the_work_folder_has_the_outputs_name(tmp_path):
    assert work_folder(tmp_path / "out.mp4").name == "out.mp4.stsr"
    name = work_folder(tmp_path / ("ü" * 127)).name
    assert len(os.fsencode(name)) <= 255
    assert name.endswith(".stsr")


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 4)), max_size=30))
def test_times_are_packed_without_loss(gaps):
    slots, at = [], 0
    for gap, duration in gaps:
        slots.append(Slot(at + gap, duration))
        at += gap + duration
    packed = packed_times(slots)
    unpacked = [Slot(p + i * d, d) for p, d, n in packed for i in range(n)]
    assert unpacked == slots


@given(
    st.lists(st.integers(1, 60), min_size=2, max_size=30),
    st.integers(0, 28),
    st.sampled_from([Fraction(10), Fraction(24), Fraction(60), Fraction(7, 2)]),
)
def test_a_constant_rate_is_the_same_where_somebody_else_goes_on(durations, place, rate):
    clock = Fraction(1, 240)
    slots, at = [], 5
    for duration in durations:
        slots.append(Slot(at, duration))
        at += duration
    place = min(place, len(slots) - 1)

    def run(parts):
        shown = []
        for first, last in parts:
            times = ConstantTimes(rate, clock, 1 / rate, slots[0].pts)
            if first:
                times.push(None, (slots[first - 1],))
            for index in range(first, last):
                shown += times.push(index, (slots[index],))
            if last < len(slots):
                shown += times.push(None, (slots[last],))
                shown += times.leave()
            else:
                shown += times.flush()
        return [(item, slot) for item, its in shown for slot in its]

    whole = run([(0, len(slots))])
    assert run([(0, place), (place, len(slots))]) == whole
