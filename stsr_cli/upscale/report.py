"""What a run did."""

from dataclasses import dataclass
from pathlib import Path

from stsr_cli.hub import TRAINED_FROM, licence
from stsr_cli.options import StreamChoice
from stsr_cli.self_score import Choice
from stsr_cli.text import plural
from stsr_cli.video.check.verify import Check
from stsr_cli.video.encode.encoder import EncoderPlan
from stsr_cli.video.timing.scenes import Cut
from stsr_cli.video.tracks.plan import Track


@dataclass(frozen=True)
class UpscaleReport:
    """What a run did.

    Attributes:
        target: the file written and verified.
        frames_in: frames decoded.
        frames_out: frames encoded.
        width, height: of the output, in pixels.
        frames_resumed: of those encoded, how many an earlier run had made, which was interrupted.
        seconds: wall time from the first frame asked for to the verified file; of this run alone.
        decode_share, network_share, encode_share: how the wall time divides into waiting for the decoder, running the
            network, and waiting for the encoder; they sum to 1.
        repaired_timestamps: source frames whose time was missing or not later than the one before.
        num_jumps: how often the source's clock went back or far on, and what followed was put behind what came before.
        num_missing_times: those of them that had none.
        device: where the network ran.
        stream: whose frames were written, "both" for the mean; of CDCA, which has none, whatever the options say.
        num_deinterlaced: source frames that were made progressive.
        num_repeated: frames shown for more than one tick of a constant frame rate, each tick but the first counted.
        num_dropped: frames that were made and left out, since no tick of a constant frame rate shows them.
        choice: how `stream` was chosen, where it was left to stsr.
        tracks: what became of each other track of the source.
        num_new: new frames between two given ones, those in the place of repeats included.
        num_cuts: places where time_scale - 1 of them are no new pictures, since one shot ends there and another begins.
        num_repeats: source frames that repeated the one before and were replaced by new ones.
        num_replaced: how many others were not shown, since the streams disagreed on them too much.
        mean_disagreement: of the streams over the new frames, in levels of 255, or None where it was not asked for;
            at a cut there is nothing to compare.
        precision: what the network computed in, as `--precision` spells it.
        num_redone: frames that half precision got wrong and that were made again in fp32.
        tile_side: longer side of the largest tile that frames were cut into for the networks, in source pixels; 0: they
            were not cut, by this process.
        encoder: what the target was encoded with.
        cuts: where they are, counted in source frames.
        weights: name and file of each weights file that was read.
        checks: what was compared when the target was read back.
        warnings: what was lost or changed beside whole tracks, a sentence each, those known before the run first.
        damage: those of them that say what of the source could not be read.
    """

    target: Path
    frames_in: int
    frames_out: int
    width: int
    height: int
    seconds: float
    decode_share: float
    network_share: float
    encode_share: float
    repaired_timestamps: int
    device: str
    stream: StreamChoice
    choice: Choice | None
    tracks: tuple[Track, ...]
    num_new: int
    num_cuts: int
    num_repeats: int
    num_replaced: int
    mean_disagreement: float | None
    frames_resumed: int = 0
    warnings: tuple[str, ...] = ()
    damage: tuple[str, ...] = ()
    num_missing_times: int = 0
    num_jumps: int = 0
    num_deinterlaced: int = 0
    num_repeated: int = 0
    num_dropped: int = 0
    precision: str = "fp32"
    num_redone: int = 0
    tile_side: int = 0
    encoder: EncoderPlan | None = None
    cuts: tuple[Cut, ...] = ()
    weights: tuple[tuple[str, Path], ...] = ()
    checks: tuple[Check, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """What became of the source's times and fields, a sentence each; none for most videos."""
        notes = []
        if self.repaired_timestamps:
            missing = self.num_missing_times
            moved = self.repaired_timestamps - missing
            what = [f"{plural(missing, 'source frame')} had no timestamp" if missing else ""]
            what += [
                f"{plural(moved, 'source frame')} came no later than the one before"
                if moved
                else ""
            ]
            notes.append(f"{' and '.join(filter(None, what))}: repaired")
        if self.num_jumps:
            notes.append(
                f"the source's clock starts anew {plural(self.num_jumps, 'time')}: its parts are joined"
            )
        if self.num_deinterlaced:
            notes.append(f"deinterlaced: {plural(self.num_deinterlaced, 'source frame')}")
        if self.num_repeated or self.num_dropped:
            notes.append(
                f"for a constant frame rate: {plural(self.num_repeated, 'frame')} shown again, "
                f"{self.num_dropped} left out"
            )
        if self.num_redone:
            notes.append(f"made again in fp32: {plural(self.num_redone, 'frame')}")
        if self.tile_side:
            notes.append(f"the networks ran in tiles of up to {self.tile_side} source pixels")
        return tuple(notes)

    @property
    def terms(self) -> tuple[str, ...]:
        """What the output may be used for, by the terms of the weights that made it, a sentence each."""
        names: dict[str, list[str]] = {}
        for name, path in self.weights:
            terms, begins, source = (licence(name, path) or "").partition(TRAINED_FROM)
            if terms:
                names.setdefault(terms, []).append(f"{name}{begins}{source}")
        return tuple(
            f"the weights {' and '.join(named)} are for {terms} only, and so is the output (stsr weights list)"
            if terms.startswith("non-commercial")
            else f"the terms of the weights {' and '.join(named)}: {terms}"
            for terms, named in names.items()
        )

    @property
    def frames_per_second(self) -> float:
        """Output frames per second of wall time, those of earlier runs left out."""
        return (self.frames_out - self.frames_resumed) / self.seconds
