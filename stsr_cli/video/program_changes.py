"""A transport stream whose tracks change on the way, as where recordings were joined: the first ones are read on.

FFmpeg tells tracks apart by the numbers (PID) that the first program map gives them, and goes on with those. What other
maps announce is said: of a file before the run, of a pipe at its end.
"""

from collections.abc import Iterable, Iterator

from av.container import InputContainer

from stsr_cli.video.opening import shown
from stsr_cli.video.probe import SourceInfo, open_source
from stsr_cli.video.program_maps import Map, ProgramMaps
from stsr_cli.video.tracks.recode import can_be_decoded

_CHUNK = 1 << 22  # bytes
_PICTURES = {
    **dict.fromkeys((0x01, 0x02), "MPEG-2"),
    **{0x10: "MPEG-4", 0x1B: "H.264", 0x24: "HEVC", 0x33: "VVC", 0xD1: "Dirac", 0xEA: "VC-1"},
}
_SOUND = {
    **{0x03: "MPEG", 0x04: "MPEG", 0x0F: "AAC", 0x11: "AAC", 0x81: "AC-3", 0x87: "E-AC-3"},
}


def unread_tracks(source: SourceInfo) -> list[str]:
    """What to say of pictures and sound that are not read since they are in other tracks than at first.

    Of a pipe that is what has passed so far. A part that is read up to a time is not looked at: what follows is not of
    it.
    """
    if source.images or source.end_pts is not None:
        return []
    if source.pipe is not None:
        return _said(source, source.pipe.container, source.pipe.maps)
    if not source.path.is_file():
        return []
    with open_source(source) as container:
        if container.format.name != "mpegts":
            return []
        maps = ProgramMaps()
        with source.path.open("rb") as file:
            while data := file.read(_CHUNK):
                maps.feed(data)
        return _said(source, container, maps)


def _said(source: SourceInfo, container: InputContainer, maps: ProgramMaps) -> list[str]:
    video = container.streams[source.stream_index].id
    sounds = {stream.id for stream in container.streams.audio if can_be_decoded(stream)}
    changes = list(_changes(maps.states, video, sounds))
    if not changes:
        return []
    what = " and ".join(text for _, text in changes)
    are = "is" if what.startswith("its sound") else "are"
    position = min(at for at, _ in changes)
    name = shown(source.path)
    return [
        f"{name} changes its tracks on the way: from byte {position:,} on {what} {are} in other tracks, which are not "
        f"read; cut the file there, such as with `tail -c +{position + 1}`, and join the videos of its parts"
    ]


def _changes(
    states: Iterable[tuple[int, Map]], video: int, sounds: set[int]
) -> Iterator[tuple[int, str]]:
    """Where pictures and sound first come that are not read, in bytes, and what they are.

    Args:
        states: as of `ProgramMaps`.
        video: PID of the pictures that are read.
        sounds: those of the sound that is.
    """
    initial = Map()
    kind: int | None = None  # of the pictures that are read
    told: set[str] = set()
    for position, tracks in states:
        initial = initial or tracks
        kind = tracks.get(video) if kind is None else kind
        pictures = [one for one in tracks.values() if one in _PICTURES]
        if tracks.get(video) != kind and pictures and "pictures" not in told:
            told.add("pictures")
            now = tracks.get(video, -1)
            yield position, f"its pictures ({_PICTURES[now if now in _PICTURES else pictures[0]]})"
        unheard = [
            one
            for pid, one in tracks.items()
            if one in _SOUND and (initial[pid] != one if pid in initial else pid not in sounds)
        ]
        if unheard and "sound" not in told:
            told.add("sound")
            yield position, f"its sound ({_SOUND[unheard[0]]})"
