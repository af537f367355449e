"""CDCA, the system the paper is compared with: coupled convolutional auto-encoders over tri-cubic interpolation.

Sharma, Chaudhury, Lall: Space-Time Super-Resolution Using Deep Learning Based Framework, PReMI 2017. No f_S and no
f_T: one network does space and time at once, and nothing follows motion.

| here | in the paper |
|---|---|
| `tricubic` | the low-resolution video up-sampled in space and time, the network's input |
| `encoder_lr` | the encoder of the auto-encoder of up-sampled patches: their feature maps |
| `mapping` | the CNN that relates these feature maps to those of high-resolution patches |
| `decoder_hr` | the decoder of the auto-encoder of high-resolution patches: feature maps -> picture |

Known from the paper: the input, the two auto-encoders, the CNN between their features, and that all are learned
together. Not known: the sizes of the layers, for which there is no code. They are ours, as is the start: this is our
re-implementation, as the one in the paper's Table 2 is its authors'.

- Encoder: convolution 9x9 to 64 channels, 5x5 to 32 feature maps. Mapping: 3x3, 1x1, at 32. Decoder: 5x5 to 64, 9x9 to
  RGB. A ReLU after each but the last.
- The input of one new frame is its two neighbours: past them, time repeats the nearest one.
- Every layer starts as the identity on its first channels beside PyTorch's usual noise on the others (`_Layer`), so
  that the untrained network already gives the tri-cubic picture.
- The other halves, encoder_HR and decoder_LR, only serve training (`training/cdca.py`) and are in no weights file.
"""

import torch
from torch import Tensor, nn

from stsr_cli.errors import UsageError
from stsr_cli.modules import Card, Config
from stsr_cli.ops import cubic_weights, upsample
from stsr_cli.streams import Stream, Times, even_times

_REACH = 13  # how far a pixel of the input reaches in the output: 4 + 2 + 1 + 0 + 2 + 4
_STRIP_PIXELS = 2**19  # 128 MiB for the 64 channels of a layer


class _Layer(nn.Conv2d):
    """A convolution that keeps the size and starts by handing its first three channels, the picture, through."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int) -> None:
        super().__init__(in_channels, out_channels, kernel_size, padding=kernel_size // 2)
        with torch.no_grad():
            nn.init.normal_(self.weight[:3], std=1e-4)
            nn.init.zeros_(self.bias)  # type: ignore[arg-type]
            for channel in range(3):
                self.weight[channel, channel, kernel_size // 2, kernel_size // 2] += 1


class Encoder(nn.Sequential):
    """A picture (B, 3, H, W) -> its feature maps (B, F, H, W), F = `num_features`, none negative."""

    def __init__(self, num_channels: int, num_features: int) -> None:
        super().__init__(
            _Layer(3, num_channels, 9),
            nn.ReLU(inplace=True),
            _Layer(num_channels, num_features, 5),
            nn.ReLU(inplace=True),
        )


class Decoder(nn.Sequential):
    """Feature maps (B, F, H, W) -> the picture (B, 3, H, W); the encoder in a mirror."""

    def __init__(self, num_channels: int, num_features: int) -> None:
        super().__init__(
            _Layer(num_features, num_channels, 5), nn.ReLU(inplace=True), _Layer(num_channels, 3, 9)
        )


class Mapping(nn.Sequential):
    """Feature maps of an up-sampled picture -> those of the high-resolution one, both (B, F, H, W)."""

    def __init__(self, num_features: int) -> None:
        super().__init__(
            _Layer(num_features, num_features, 3),
            nn.ReLU(inplace=True),
            _Layer(num_features, num_features, 1),
            nn.ReLU(inplace=True),
        )


def tricubic(lr_frame0: Tensor, lr_frame1: Tensor, t: float, scale: int) -> Tensor:
    """The (B, 3, sH, sW) frame at t in [0, 1] between two (B, 3, H, W), by cubic interpolation in space and time.

    Time comes first, where there are fewer pixels: interpolation is linear, so the order does not matter. At t = 1/2
    both neighbours weigh the same, and this is bicubic + blend.
    """
    weight0, weight1 = cubic_weights(t)
    return upsample(weight0 * lr_frame0 + weight1 * lr_frame1, scale)


class CDCA(nn.Module):
    """The coupled auto-encoders as a system: two LR frames in, HR frames out, at `scale` and any `time_scale`.

    It is called as `TwoStream` is, so that the engine need not know which of the two it runs.
    """

    card = Card("CDCA", 2017, "Sharma et al., PReMI 2017", scales=(2, 3, 4))

    def __init__(
        self, scale: int = 4, num_channels: int = 64, num_features: int = 32, time_scale: int = 2
    ) -> None:
        super().__init__()
        if min(scale, num_channels - 2, num_features - 2) < 1:
            raise UsageError(
                f"scale {scale}, num_channels {num_channels}, num_features {num_features}: "
                "the scale must be 1 or more, the others 3 or more"
            )
        self.config: Config = {
            "scale": scale,
            "num_channels": num_channels,
            "num_features": num_features,
        }
        self.scale, self.time_scale = scale, time_scale
        self.strip_pixels = _STRIP_PIXELS  # of the output, computed at once
        self.encoder_lr = Encoder(num_channels, num_features)
        self.mapping = Mapping(num_features)
        self.decoder_hr = Decoder(num_channels, num_features)

    def set_factors(self, scale: int | None, time_scale: int) -> None:
        """Choose the factors of a run; None is the scale the network was built for.

        Raises:
            UsageError: another scale than that, or no whole time scale.
        """
        if scale not in (None, self.scale):
            raise UsageError(
                f"scale {scale} cannot be reached by CDCA, whose network upscales by {self.scale}; "
                f"try {self.scale}, or --system streams"
            )
        if time_scale < 1:
            raise UsageError(f"time scale {time_scale} cannot be reached; try 1, 2, 3, 4")
        self.time_scale = time_scale

    def forward(self, upsampled: Tensor) -> Tensor:
        """A tri-cubic picture (B, 3, sH, sW) -> the high-resolution one, of the same size.

        Without gradients a large picture is computed in strips that overlap by what a pixel reaches: the same result in
        bounded memory.
        """
        batch_size, _, height, width = upsampled.shape
        num_rows = max(self.strip_pixels // (batch_size * width), 4 * _REACH)
        if torch.is_grad_enabled() or num_rows >= height:
            return self._network(upsampled)
        strips = []
        for top in range(0, height, num_rows):
            first, bottom = max(top - _REACH, 0), min(top + num_rows, height)
            strip = self._network(upsampled[..., first : bottom + _REACH, :])
            strips.append(strip[..., top - first : bottom - first, :])
        return torch.cat(strips, dim=-2)

    def _network(self, upsampled: Tensor) -> Tensor:
        return self.decoder_hr(self.mapping(self.encoder_lr(upsampled)))

    def upscale(self, lr_frames: Tensor) -> Tensor:
        """Given frames, (B, 3, H, W) -> (B, 3, sH, sW): at a whole time tri-cubic interpolation is bicubic."""
        return self(upsample(lr_frames, self.scale))

    def between(
        self, lr_frame0: Tensor, lr_frame1: Tensor, *, times: Times | None = None
    ) -> list[Tensor]:
        """The HR frames (B, 3, sH, sW) at `times` between two LR ones (B, 3, H, W); None: as of `TwoStream.between`."""
        times = even_times(self.time_scale) if times is None else times
        return [self(tricubic(lr_frame0, lr_frame1, float(t), self.scale)) for t in times]

    def extend(
        self,
        lr_frames: Tensor,
        stream: Stream = "t2s",
        previous: tuple[Tensor, Tensor] | None = None,
        times: Times | None = None,
    ) -> tuple[Tensor, list[Tensor]]:
        """Go on along a video; see `TwoStream.extend`. There is one way through: `stream` makes no difference."""
        hr_frames = self.upscale(lr_frames)
        lr_all = lr_frames if previous is None else torch.cat((previous[0], lr_frames))
        if len(lr_all) < 2:
            return hr_frames, []
        return hr_frames, self.between(lr_all[:-1], lr_all[1:], times=times)
