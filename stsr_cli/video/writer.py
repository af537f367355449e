"""The output file: encode frames, copy the other tracks, verify, rename. Never half-written.

Everything goes into a hidden `.NAME.stsr-part.EXT` beside the target. Its header is written when
the writer is opened, so that whatever cannot be muxed fails before the first frame is computed; only
a verified file gets the target's name.
"""

from __future__ import annotations

import contextlib
import os
from array import array
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
from av.format import Flags
from av.packet import Packet
from av.video.stream import VideoStream

from stsr_cli.errors import InputError, StsrError, UsageError
from stsr_cli.files import remove, replace, replace_or_keep, sync
from stsr_cli.options import EncodeOptions, TrackOptions
from stsr_cli.video.check.readback import read_back
from stsr_cli.video.check.verify import Check, Expected, verify
from stsr_cli.video.colour.convert import Pixels
from stsr_cli.video.encode.encoder import EncoderPlan, open_encoder, plan_encoder
from stsr_cli.video.encode.frame_encoder import FrameEncoder
from stsr_cli.video.encode.geometry import Size
from stsr_cli.video.encode.immersive import add_saying, describing
from stsr_cli.video.images.sequence import READABLE_SUFFIXES
from stsr_cli.video.images.sequence_writer import SequenceWriter, plan_images
from stsr_cli.video.pipes.output_pipe import EvenTimes, OutputPipe, plan_pipe
from stsr_cli.video.pipes.pipe import FORMATS, PIPE
from stsr_cli.video.probe import SourceInfo, estimate_num_frames, reason, shown
from stsr_cli.video.rehearsal import PlannedOutput, rehearse
from stsr_cli.video.side_data.bitstream import Message, checksum
from stsr_cli.video.target import (
    IMAGE_ENCODERS,
    MOV_FAMILY,
    check_image_target,
    check_target,
    common_timescale,
    image_pattern,
    new_container,
    partial_name,
    refuse_loss,
    unverified_name,
)
from stsr_cli.video.timing.coding_order import dts_of, stretch
from stsr_cli.video.timing.timeline import Slot, ticks_at
from stsr_cli.video.tracks.copier import TrackCopier
from stsr_cli.video.tracks.plan import Track
from stsr_cli.video.written import (
    GONE,
    Writer,
    WrittenReport,
    encoding_advice,
    is_of_disk,
    joining_advice,
    removing_on_failure,
)

_ALL_TRACKS = TrackOptions()
_HEADER_ROUNDING = Fraction(1, 1000)


def open_writer(
    target: str | os.PathLike[str],
    source: SourceInfo,
    encode: EncodeOptions,
    *,
    scale: int,
    time_scale: int,
    overwrite: bool,
    tracks: TrackOptions = _ALL_TRACKS,
    size: Size | None = None,
) -> Writer:
    """Check all that can be wrong with an output, then write its header under a temporary name.

    Args:
        target: file to write; its extension chooses the container. Or a pattern such as `%06d.png` or an empty folder:
            images. Or `-`, the standard output.
        source: what the frames come from, and with them time base, colour, pixel shape, rotation,
            metadata and the other tracks.
        encode: codec and its options.
        scale: output pixels per source pixel along each axis.
        time_scale: output ticks per source tick.
        overwrite: replace an existing target, once the new file is complete.
        tracks: what else of the source goes along.
        size: of the output as shown, or None: `scale` times the source's.

    Raises:
        DeviceError: the encoder's device is not there.
        UsageError: the target, or the way to encode it, cannot be, or it cannot hold a track that it must.
        InputError: the source cannot be opened for its tracks.
    """
    target = Path(target)
    pattern, pipe = image_pattern(target), None
    if target == PIPE:
        pipe = OutputPipe(FORMATS[encode.format])
    elif pattern:
        check_image_target(pattern, source, overwrite=overwrite)
    else:
        check_target(target, source.path, overwrite=overwrite)
    plan, _ = plan_video(target, source, encode, scale=scale, size=size)
    refuse_loss(plan.warnings, tracks)
    if pattern:
        return SequenceWriter(pattern, source, plan, tracks, time_scale=time_scale)
    return VideoWriter(target, source, plan, tracks, time_scale=time_scale, pipe=pipe)


def plan_video(
    target: Path,
    source: SourceInfo,
    encode: EncodeOptions,
    *,
    scale: int,
    size: Size | None = None,
) -> tuple[EncoderPlan, str]:
    """How the pictures of an output are encoded, and FFmpeg's name of its container; arguments as of `open_writer`.

    Raises:
        UsageError: the name stands for no container, or they cannot be encoded like that.
    """
    pattern = image_pattern(target)
    if target == PIPE:
        return plan_pipe(source, encode, scale=scale, size=size), FORMATS[encode.format]
    if pattern:
        return plan_images(source, encode, pattern, scale=scale, size=size), "image2"
    if target.suffix.lower() in IMAGE_ENCODERS and target.suffix.lower() != ".webp":
        _refuse_single_image(target, source)
    name = _format_of(target)
    return plan_encoder(source, encode, scale=scale, format_name=name, size=size), name


class VideoWriter:
    """An output file under its temporary name, as a context manager: an exception removes the file.

    Leaving the block without an exception closes the writer, unless `close` was called already.

    Attributes:
        target: the file to be.
        plan: what the encoder is opened with.
        time_base: seconds per tick of the pts and durations that `write` takes.
        tick: see `Writer`.
    """

    def __init__(
        self,
        target: Path,
        source: SourceInfo,
        plan: EncoderPlan,
        tracks: TrackOptions,
        *,
        time_scale: int,
        pipe: OutputPipe | None = None,
    ) -> None:
        """Write the header; use `open_writer`, which checks the target first."""
        self.target = target
        self._even = EvenTimes(source, time_scale) if pipe and pipe.is_even else None
        if self._even:
            source = self._even.source
        self.time_base = source.time_base / time_scale
        self._partial, self._pipe = partial_name(target), pipe
        self.plan = plan
        self._num_frames = self._num_coded = self._first_pts = self._last_pts = self._end_pts = (
            self._coded_end
        ) = 0
        self._header_duration = (source.duration or 0) * time_scale
        self._first_dts: int | None = None
        self._checks: tuple[Check, ...] = ()
        self._held: Packet[VideoStream] | None = None
        self._durations: dict[int, int] = {}
        self._all_pts = array("q")
        self._messages: dict[int, int] = {}  # checksums by pts
        self.tick: Fraction | None = None
        self._moved: dict[int, int] = {}
        self._loss: Exception | None = None  # why other tracks are not written any more
        format_name = pipe.format_name if pipe else _format_of(target)
        suffix = "" if pipe else target.suffix.lower()
        rehearsal = rehearse(PlannedOutput(source, plan, format_name, time_scale, suffix), tracks)
        self._picture, self._lost = rehearsal.picture, rehearsal.lost
        refuse_loss(self._lost, tracks)
        self._tracks = TrackCopier(source)
        try:
            self._output = pipe.open() if pipe else new_container(self._partial, target)
            self._video, self._coder = add_saying(self._output, source, plan, time_scale)
            self._tracks.add_to(self._output, self._video, rehearsal.tracks, rehearsal.kept)
            self._is_exact = self._output.format.name in MOV_FAMILY
            self._write_header()
            if rehearsal.complaint:
                raise UsageError(
                    f"{plan.codec} in {shown(target)} fails in a trial of a few frames ({rehearsal.complaint}); choose "
                    "another --codec, or write a .mkv"
                )
            if self._video.time_base and self._video.time_base > self.time_base and not self._even:
                self.tick = self._video.time_base
            self._encoder = FrameEncoder(self._coder, plan, self.time_base)
        except BaseException:
            self.abort()
            raise
        self._is_open = True

    @property
    def is_header_global(self) -> bool:
        """Whether the container has the encoder's parameter sets in front of all packets."""
        return Flags.global_header in Flags(self._output.format.flags)

    @property
    def tracks(self) -> tuple[Track, ...]:
        """What becomes of each other track of the source."""
        return self._tracks.plan

    @property
    def warnings(self) -> tuple[str, ...]:
        """What else of the source the output cannot keep, a sentence each."""
        even = self._even.warnings if self._even else ()
        return (*self.plan.warnings, *self._lost, *even, *self._tracks.warnings)

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            self.abort()
        elif self._is_open:
            self.close()

    def write(
        self, pixels: Pixels, pts: int, duration: int, messages: Sequence[Message] = ()
    ) -> None:
        """Encode one frame; call in presentation order.

        Args:
            pixels: (H, W, 3) RGB, or (H, W, 4) with alpha, of the plan's frame size, full range: uint8, or uint16 with
                white at 65535.
            pts: when it is shown, in ticks of `time_base`; greater than the one before.
            duration: for how long, in ticks of `time_base`.
            messages: that go along with it.

        Raises:
            StsrError: the disk is full, or the encoder failed; the temporary file is gone then.
        """
        if self._even:
            pts, duration = self._even(pts, duration)
        pts = self._show(Slot(pts, duration))
        with removing_on_failure(self, self.target, encoding_advice):
            for packet in self._encoder.encode(pixels, pts, messages):
                self._mux(packet)

    def write_encoded(
        self, packets: Iterable[Packet[VideoStream]], slots: Sequence[Slot], delay: int
    ) -> None:
        """Take frames over that an encoder of the same plan has made, instead of `write`; a closed GOP or several.

        Args:
            packets: in coding order, each with its pts in ticks of `time_base`.
            slots: when each of the frames is shown, in presentation order, later than all so far.
            delay: by how many frames coding runs ahead of showing, at most, in all that is written this way.

        Raises:
            StsrError: as of `write`; or there are other packets than `slots` says.
        """
        for slot in slots:
            self._show(slot)
        num_before = self._num_coded
        with removing_on_failure(self, self.target, joining_advice):
            for packet in packets:
                assert packet.pts is not None
                packet.pts = self._moved.pop(packet.pts, packet.pts)
                if packet.pts not in self._durations:
                    break
                packet.dts = dts_of(self._num_coded, self._all_pts, delay)
                packet.time_base = self.time_base
                self._num_coded += 1
                self._mux(packet)
            if self._num_coded - num_before != len(slots):
                raise StsrError(f"a segment of {shown(self.target)} does not hold its frames")

    def _show(self, slot: Slot) -> int:
        """Take note of a frame's time; return when it is shown, later than asked for if its tick is taken."""
        pts = self._free(slot.pts) if self.tick and self._num_frames else slot.pts
        if pts != slot.pts:
            self._moved[slot.pts] = pts
        if not self._num_frames:
            self._first_pts = pts
        self._durations[pts] = slot.duration
        self._all_pts.append(pts)
        self._last_pts, self._end_pts = pts, max(slot.pts + slot.duration, pts + 1)
        self._num_frames += 1
        return pts

    def _free(self, pts: int) -> int:
        """The time itself, or that of the tick after the last frame's. Segments were made for a finer clock."""
        assert self.tick is not None
        ticks = self.tick / self.time_base
        last = ticks_at(self._last_pts, ticks)
        return pts if ticks_at(pts, ticks) > last else round((last + 1) * ticks)

    def close(self) -> WrittenReport:
        """Drain the encoder, copy the rest of the tracks, verify, and give the file its name.

        Raises:
            StsrError: no frame was written, the disk is full, or the file does not verify, and is kept under another
                name then; the target is untouched.
        """
        with removing_on_failure(self, self.target, joining_advice):
            if not self._num_frames:
                raise StsrError(f"no frame was written to {shown(self.target)}; check the source")
            self._follow_header()
            for packet in self._encoder.drain():
                self._mux(packet)
            self._mux(None)
            self._copy_tracks(None)
            with self._losing_tracks():
                self._tracks.place_chapters(self._output, self._first_pts * self.time_base)
            expected = self._expected()
            muxer = self._output.format.name
            with self._losing_tracks():
                self._output.close()
            if self._loss is not None:
                self._keep_pictures(self._loss)
            if self._pipe:
                self._pipe.close()
            else:
                with self._partial.open("r+b") as file:
                    self._tracks.describe(file, describing(self.plan, muxer))
                sync(self._partial)
                self._checks = self._verified(expected, muxer)
                replace_or_keep(self._partial, self.target)
        self._tracks.close()
        self._is_open = False
        return WrittenReport(
            path=self.target,
            frames=self._num_frames,
            duration=(self._end_pts - self._first_pts) * self.time_base,
            packets_copied=self._tracks.num_packets,
            checks=self._checks,
            damage=self._tracks.damage,
        )

    def _verified(self, expected: Expected, muxer: str) -> tuple[Check, ...]:
        """Compare the file with what was written; it is kept under another name where it differs."""
        try:
            return verify(self._partial, expected, shown(self.target), muxer)
        except StsrError as error:
            kept = unverified_name(self.target)
            replace(self._partial, kept)
            raise StsrError(f"{error}; what was written is kept as {shown(kept)}") from error

    @contextlib.contextmanager
    def _losing_tracks(self) -> Iterator[None]:
        """Go on after an error of the muxer, without the other tracks: frames that were computed are not lost for them.

        Not where the pictures themselves are lost, and not where segments keep them.
        """
        try:
            yield
        except (av.FFmpegError, OSError, ValueError) as error:
            is_alone = len(self._output.streams) < 2
            if self._pipe or self._num_coded or is_alone or is_of_disk(error):
                raise
            self._loss = self._loss or error

    def _copy_tracks(self, seconds: Fraction | None) -> None:
        if self._loss is None:
            with self._losing_tracks():
                self._tracks.copy_until(self._output, seconds)

    def _keep_pictures(self, why: Exception) -> None:
        """Leave what there is of an output whose other tracks could not be written under another name.

        Raises:
            StsrError: always; it says where they are, or that they cannot be read.
        """
        message = f"cannot write {shown(self.target)}: {reason(why)}; {joining_advice(None)}"
        kept = unverified_name(self.target)
        try:
            sync(self._partial)
            num_frames = read_back(self._partial).tracks[0].num_packets
            replace(self._partial, kept)
        except (InputError, av.FFmpegError, OSError, ValueError, LookupError, StopIteration):
            raise StsrError(message) from why
        whole = "all" if num_frames == self._num_frames else f"{num_frames} of {self._num_frames}"
        raise StsrError(f"{message}; {whole} pictures are kept as {shown(kept)}") from why

    def abort(self) -> None:
        """Give up: remove the temporary file and leave the target alone. Safe to repeat."""
        self._is_open = False
        self._tracks.close()
        if hasattr(self, "_output"):
            with contextlib.suppress(av.FFmpegError, OSError, ValueError):
                self._output.close()
        if self._pipe:
            self._pipe.close()
        remove(self._partial)

    def _write_header(self) -> None:
        """Open the encoder and write the header, so that what cannot work fails now."""
        open_encoder(self._coder, self.plan)
        if self._is_exact:
            clocks = [self.time_base, *self._tracks.time_bases()]
            self._output.container_options["movie_timescale"] = str(common_timescale(clocks))
        try:
            self._output.start_encoding()
        except BrokenPipeError as error:
            raise StsrError(f"cannot write {shown(self.target)}: {GONE}") from error
        except OSError as error:
            raise UsageError(
                f"cannot write in {shown(self.target.absolute().parent)}: {reason(error)}; "
                "choose another folder"
            ) from error
        except (av.FFmpegError, ValueError) as error:
            raise UsageError(
                f"{shown(self.target)} cannot hold these tracks ({reason(error)}); "
                "write a .mkv instead"
            ) from error

    def _mux(self, packet: Packet[VideoStream] | None) -> None:
        """Mux the packet before this one, after the tracks that belong in front of it.

        One packet is held back, since the last one (`packet` is None then) may have to be adapted.
        """
        held, self._held = self._held, packet
        if held is None:
            return
        assert held.pts is not None and held.dts is not None
        context = self._video.codec_context
        found = checksum(bytes(held), context.codec.canonical_name, context.extradata)
        if found is not None:
            self._messages[held.pts] = found
        held.duration = self._durations.pop(held.pts, 0)  # of a packet that shows nothing
        if self._first_dts is None:
            self._first_dts = held.dts
        if packet is None and self._is_exact:
            stretch(held, self._first_dts + self._coded_end - self._first_pts)
        self._copy_tracks(held.dts * self.time_base)
        held.stream = self._video
        with self._losing_tracks():  # what the muxer refuses now may be a packet of another track
            self._output.mux(held)

    def _follow_header(self) -> None:
        """End where the source's header ends, if that is what its last frame says but for rounding.

        FFmpeg rounds a track's length in MP4 to 1 ms, a fraction of a tick or several; the last frame is
        shown for as much less, so that the lengths of both files are equal. No pts moves.
        """
        end = self._first_pts + self._header_duration
        is_rounding = abs(end - self._end_pts) * self.time_base <= _HEADER_ROUNDING
        if is_rounding and end > self._last_pts:
            self._end_pts = end
            self._durations[self._last_pts] = end - self._last_pts
        self._coded_end = self._end_pts

    def _expected(self) -> Expected:
        return Expected(
            pts=self._all_pts,
            time_base=self.time_base,
            duration=(self._end_pts - self._first_pts) * self.time_base if self._is_exact else None,
            size=(self.plan.width, self.plan.height),
            picture=self._picture,
            messages=self._messages,
            tags=self._tracks.video_tags,
            flags=self._tracks.video_flags,
            tracks=self._tracks.expected(),
            attached=self._tracks.attached,
            chapters=self._tracks.chapters,
            file_tags=self._tracks.tags,
        )


def _refuse_single_image(target: Path, source: SourceInfo) -> None:
    """Raise a `UsageError` that says how images are written."""
    name, folder = shown(target), shown(target.with_name("out"))
    is_picture = source.path.suffix.lower() in READABLE_SUFFIXES and len(source.images) < 2
    if is_picture and (estimate_num_frames(source) or 1) < 2:
        raise UsageError(
            f"{name}: images are written into a folder; of a single picture write {folder}{os.sep} with --time-scale 1"
        )
    many = shown(target.with_name(f"{target.stem}_%06d{target.suffix}"))
    raise UsageError(
        f"{name} would be a single image; write many: {many}, or all into {folder}{os.sep}"
    )


def _format_of(target: Path) -> str:
    """FFmpeg's name of the muxer that a file's name stands for."""
    with new_container(target, target) as container:
        return container.format.name
