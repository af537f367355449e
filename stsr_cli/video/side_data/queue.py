"""The way of side data around the networks: from the frames that are decoded to those that are written.

It is kept by time, not by frame: whatever becomes of a given frame (dropped for a constant rate, replaced as a repeat),
what came beside it goes to the first output frame that is shown at its time or later.
"""

from collections import deque
from fractions import Fraction

from stsr_cli.video.side_data.bitstream import Message, caption_messages
from stsr_cli.video.side_data.decoded import FrameMessages


class SideDataQueue:
    """Messages that wait for their output frame; one thread may put while another takes.

    Attributes:
        num_captioned: given frames with closed captions so far.
    """

    def __init__(self) -> None:
        self.num_captioned = 0
        self._waiting: deque[tuple[Fraction, FrameMessages]] = deque()
        self._late = b""  # captions that found no room

    def put(self, seconds: Fraction, messages: FrameMessages) -> None:
        """Add what came beside the given frame that is shown then; call in order, before that frame goes on."""
        self.num_captioned += bool(messages.captions)
        if messages:
            self._waiting.append((seconds, messages))

    def skip(self, seconds: Fraction, *, inclusive: bool) -> None:
        """Forget what belongs to frames before a time, or also at it: somebody else writes those."""
        while self._waiting and (
            self._waiting[0][0] < seconds or (inclusive and self._waiting[0][0] == seconds)
        ):
            self._waiting.popleft()

    def take(self, seconds: Fraction) -> list[Message]:
        """The messages for the output frame that is shown then."""
        captions, others = self._late, list[Message]()
        while self._waiting and self._waiting[0][0] <= seconds:
            _, messages = self._waiting.popleft()
            captions += messages.captions
            others += messages.others
        own, self._late = caption_messages(captions)
        return [*own, *others]
