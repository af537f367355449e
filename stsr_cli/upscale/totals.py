"""What segments add up to: the report of a run."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from stsr_cli.disagreement import DisagreementFiles
from stsr_cli.errors import InputError
from stsr_cli.segments.journal import SegmentRecord
from stsr_cli.upscale.job import Job, Loaded
from stsr_cli.upscale.memory import tile_side
from stsr_cli.upscale.network import Network
from stsr_cli.upscale.pump import Waits
from stsr_cli.upscale.report import UpscaleReport
from stsr_cli.video.describe import ends_early
from stsr_cli.video.probe import SourceInfo, shown
from stsr_cli.video.program_changes import unread_tracks
from stsr_cli.video.side_data.support import late_captions
from stsr_cli.video.timing.deinterlace import FrameFlags
from stsr_cli.video.timing.retime import Times
from stsr_cli.video.timing.scenes import Cut
from stsr_cli.video.written import Writer, WrittenReport

_PRECISIONS = {torch.float32: "fp32", torch.float16: "fp16", torch.bfloat16: "bf16"}


def output_counts(
    times: Times[Any], doubts: DisagreementFiles, network: Network
) -> dict[str, float]:
    """What was counted of output frames so far, by name."""
    return {
        "num_repeated": times.num_repeated,
        "num_dropped": times.num_dropped,
        "num_replaced": doubts.num_replaced,
        "num_doubts": doubts.num_doubts,
        "sum_levels": doubts.sum_levels,
        "num_redone": network.num_redone,
    }


@dataclass
class Totals:
    """What was read and made, over all segments so far.

    Attributes:
        num_frames, num_repeats: source frames, and those of them that new ones replace.
        end_pts: end of the last of them, in the source's ticks.
        num_outputs: frames of the output, of finished segments.
        cuts: (index of the frame, pts) of each.
        counts: what else was counted, by name.
    """

    num_frames: int = 0
    num_repeats: int = 0
    end_pts: int = 0
    num_outputs: int = 0
    cuts: list[tuple[int, int]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, records: Iterable[SegmentRecord]) -> "Totals":
        """Of finished segments, in order."""
        totals = cls()
        for record in records:
            totals.add(
                record.num_frames,
                record.num_repeats,
                record.end_pts,
                record.cuts,
                record.counts,
            )
            totals.num_outputs += record.num_outputs
        return totals

    def add(
        self,
        num_frames: int,
        num_repeats: int,
        end_pts: int,
        cuts: Iterable[tuple[int, int]],
        counts: Mapping[str, float],
    ) -> None:
        """Add what comes next; its cuts are counted from its first frame."""
        self.cuts += [(self.num_frames + index, pts) for index, pts in cuts]
        self.num_frames += num_frames
        self.num_repeats += num_repeats
        self.end_pts = end_pts
        self.counts.update(counts)

    def check_damage(self, source: SourceInfo) -> None:
        """Refuse more damaged frames than allowed, which passes over single segments do not see.

        Raises:
            InputError: there are more.
        """
        limit = source.options.max_bad_frames
        lost = ("num_held", "num_skipped", "num_corrupt", "num_missing")
        num_bad = sum(self.counts[name] for name in lost)
        if limit and num_bad > limit:
            raise InputError(
                f"{shown(source.path)} has {num_bad} damaged frames; repair or cut it, or allow more than {limit} with "
                "--max-bad-frames"
            )

    def report(
        self,
        job: Job,
        loaded: Loaded,
        writer: Writer,
        written: WrittenReport,
        warnings: Sequence[str],
        *,
        seconds: float,
        waits: Waits,
        frames_resumed: int = 0,
    ) -> UpscaleReport:
        """The report of a finished run; arguments as of its attributes."""
        options, source, counts = job.options, job.source, self.counts
        flags = FrameFlags(
            num_held=counts["num_held"],
            num_skipped=counts["num_skipped"],
            num_corrupt=counts["num_corrupt"],
            num_missing=counts["num_missing"],
            num_deinterlaced=counts["num_deinterlaced"],
            num_interlaced=counts["num_interlaced"],
        )
        early = ends_early(source, self.end_pts)
        unread = unread_tracks(source) if source.pipe is not None else job.unread
        damage = [*unread, *early, *flags.damage, *written.damage]
        late = late_captions(source.beside, writer.plan.codec, int(counts["num_captioned"]))
        warnings = [*warnings, *writer.warnings, *flags.warnings, *late, *damage]
        return UpscaleReport(
            target=options.target,
            frames_in=self.num_frames,
            frames_out=written.frames,
            width=writer.plan.width,
            height=writer.plan.height,
            seconds=seconds,
            decode_share=waits.decode / seconds,
            network_share=1 - (waits.decode + waits.encode) / seconds,
            encode_share=waits.encode / seconds,
            frames_resumed=frames_resumed,
            repaired_timestamps=counts["num_missing_times"] + counts["num_moved_times"],
            num_jumps=counts["num_jumps"],
            num_missing_times=counts["num_missing_times"],
            device=str(job.device),
            stream=loaded.stream,
            choice=loaded.choice,
            tracks=writer.tracks,
            num_new=(self.num_frames - 1) * (options.time_scale - 1) + self.num_repeats,
            num_cuts=len(self.cuts),
            num_repeats=self.num_repeats,
            num_replaced=counts["num_replaced"],
            mean_disagreement=counts["sum_levels"] / counts["num_doubts"]
            if counts["num_doubts"]
            else None,
            warnings=tuple(dict.fromkeys(warnings)),
            damage=tuple(dict.fromkeys(damage)),
            num_deinterlaced=counts["num_deinterlaced"],
            num_repeated=counts["num_repeated"],
            num_dropped=counts["num_dropped"],
            precision=_PRECISIONS[job.dtype],
            num_redone=counts["num_redone"],
            tile_side=tile_side(loaded.system),
            encoder=writer.plan,
            cuts=tuple(
                Cut(index, float((pts - source.start_pts) * source.time_base))
                for index, pts in self.cuts
            ),
            weights=loaded.weights,
            checks=written.checks,
        )
