"""Made scenes: photographs in layers that move, so that the frame in the middle is exact however fast they move.

A scene lasts from t = 0 to 1: the two frames a network gets are those at 0 and 1, its target that at 1/2. Every point
of a layer moves at a constant velocity. Positions are in pixels from the middle of the frame, x right, y down.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from stsr_cli.data import degrade
from stsr_cli.ops import imresize, to_pixels, to_tensor
from stsr_cli.training.drawings import Generator, draw_overlay, draw_shape

Pixels = NDArray[np.uint8]
DrawPicture = Callable[[Generator, int, int], Pixels]
TIMES = (0.0, 0.5, 1.0)

_STILL_SHARE = 0.03  # of scenes in which nothing moves
_OVERLAY_SHARE = 0.25
_BLUR_SHARE = 0.15
_RAMP_SHARE = 0.15
_GRAIN_SHARE = 0.1
_STILL_LAYER_SHARE = 0.2
_MAX_SHUTTER_PIXELS = 16.0  # longest path that motion blur covers
_GRID = 4  # a smooth warp is solved for at every fourth pixel
_ITERATIONS = 4


@dataclass(frozen=True)
class Wave:
    """A smooth warp: what is at q moves by amplitude * sin(frequency . q + phase) more within the scene.

    Attributes:
        amplitude: (2,) pixels.
        frequency: (2,) radians a pixel.
        phase: radians.
    """

    amplitude: Tensor
    frequency: Tensor
    phase: float

    def __call__(self, points: Tensor) -> Tensor:
        """(..., 2) points of a layer -> how far they move."""
        return self.amplitude * torch.sin(points @ self.frequency + self.phase)[..., None]


@dataclass(frozen=True)
class Layer:
    """A picture and its path: its point q is at (matrix + s * turn) q + centre + s * (velocity + wave(q)), s = t - 1/2.

    Attributes:
        image: (3, h, w) a background, reflected past its edge, or (4, h, w) RGBA.
        matrix: (2, 2) rotation and zoom at t = 1/2.
        turn: (2, 2) how much that changes from t = 0 to 1.
        centre: (2,) pixels, where the middle of the picture is at t = 1/2.
        velocity: (2,) pixels.
        wave: a smooth warp on top, or None.
    """

    image: Tensor
    matrix: Tensor
    turn: Tensor
    centre: Tensor
    velocity: Tensor
    wave: Wave | None = None

    def sample(self, t: float, side: int) -> Tensor:
        """The layer as it is seen at t, (C, side, side)."""
        height, width = self.image.shape[1:]
        points = self._points(t - 0.5, side)
        grid = points * points.new_tensor([2 / (width - 1), 2 / (height - 1)])
        outside = "reflection" if len(self.image) == 3 else "zeros"
        sampled = F.grid_sample(
            self.image[None], grid[None], mode="bicubic", padding_mode=outside, align_corners=True
        )
        return sampled[0].clamp(0, 1)

    def _points(self, s: float, side: int) -> Tensor:
        """For every pixel of the frame the point of the layer that is seen there, (side, side, 2)."""
        inverse = torch.linalg.inv(self.matrix + s * self.turn).T
        start = self.centre + s * self.velocity
        if self.wave is None:
            return (_positions(side) - start) @ inverse
        places = _positions(side, _GRID) - start
        points = places @ inverse
        for _ in range(_ITERATIONS):
            points = (places - s * self.wave(points)) @ inverse
        size = (len(points) - 1) * _GRID + 1
        finer = F.interpolate(
            points.movedim(-1, 0)[None], size=(size, size), mode="bilinear", align_corners=True
        )
        return finer[0, :, :side, :side].movedim(0, -1)


@dataclass(frozen=True)
class Scene:
    """Layers from back to front, and what lies over all of them.

    Attributes:
        layers: the first is the background.
        overlay: (4, side, side) RGBA that stands still, or None.
        shutter: how long each frame is exposed, as a share of the scene; 0: no motion blur.
        num_exposures: moments that are averaged over that time.
        ramp: how much brighter the scene gets from 0 to 1, as a share.
        grain: (3, 3, side, side) added to each of the frames at `TIMES`, or None.
    """

    layers: Sequence[Layer]
    overlay: Tensor | None = None
    shutter: float = 0.0
    num_exposures: int = 1
    ramp: float = 0.0
    grain: Tensor | None = None

    def frames(self, side: int) -> Tensor:
        """The frames at `TIMES`, (3, 3, side, side) in [0, 1]."""
        frames = torch.stack([self._exposed(t, side) for t in TIMES])
        gain = 1 + self.ramp * (torch.tensor(TIMES) - 0.5)
        frames = frames * gain[:, None, None, None]
        if self.grain is not None:
            frames = frames + self.grain
        if self.overlay is not None:
            frames = _overlaid(frames, self.overlay)
        return frames.clamp(0, 1)

    def _exposed(self, t: float, side: int) -> Tensor:
        moments = [
            t + self.shutter * ((index + 0.5) / self.num_exposures - 0.5)
            for index in range(self.num_exposures)
        ]
        return torch.stack([self._at(moment, side) for moment in moments]).mean(0)

    def _at(self, t: float, side: int) -> Tensor:
        image, *others = (layer.sample(t, side) for layer in self.layers)
        for layer in others:
            image = image + layer[3:] * (layer[:3] - image)
        return image


def made_triplet(rng: Generator, draw: DrawPicture, side: int, scale: int) -> Pixels:
    """Three frames of a random scene, (3, side, side, 3) uint8.

    Args:
        rng: everything is drawn from it.
        draw: makes a part of a photograph, of at most a height and a width.
        side: pixels.
        scale: how many times smaller the frames that a network gets will be; lines of text are measured by it.
    """
    if rng.random() < _STILL_SHARE:
        scene = _still(draw_scene(rng, draw, side, scale))
        frame = to_pixels(scene.frames(side)[1])
        return np.stack([frame] * len(TIMES))
    return to_pixels(draw_scene(rng, draw, side, scale).frames(side))


def captioned(rng: Generator, picture: Pixels, scale: int) -> tuple[Pixels, Pixels]:
    """A picture under an overlay, as a network gets it and as it should become.

    Half of the overlays are drawn in the small picture, as those of low-resolution video are: their letters are sharper
    than anything that was made smaller, and what they should become is their enlargement.

    Args:
        rng: everything is drawn from it.
        picture: (scale*n, scale*n, 3) uint8.
        scale: how many times smaller a network gets it.

    Returns:
        (n, n, 3) and (scale*n, scale*n, 3) uint8.
    """
    side = len(picture)
    if rng.random() < 0.5:
        overlay = draw_overlay(rng, side, scale)
        hr_picture = to_pixels(_overlaid(to_tensor(picture), overlay).clamp(0, 1))
        return degrade(hr_picture, scale), hr_picture
    overlay = draw_overlay(rng, side // scale, 1)
    lr_picture = to_pixels(_overlaid(to_tensor(degrade(picture, scale)), overlay).clamp(0, 1))
    painted = torch.cat((overlay[:3] * overlay[3], overlay[3:]))[None]
    colour, alpha = imresize(painted, (side, side))[0].clamp(0, 1).split((3, 1))
    return lr_picture, to_pixels((to_tensor(picture) * (1 - alpha) + colour).clamp(0, 1))


def _overlaid(images: Tensor, overlay: Tensor) -> Tensor:
    """(..., 3, H, W) images under an RGBA one."""
    return images + overlay[3] * (overlay[:3] - images)


def _still(scene: Scene) -> Scene:
    """The scene without what makes its frames differ, or without a middle frame to speak of."""
    return Scene(scene.layers, scene.overlay)


def draw_scene(rng: Generator, draw: DrawPicture, side: int, scale: int) -> Scene:
    """Draw a background, one to four foregrounds, their paths, and what lies over them."""
    # large enough for the background to fill the frame wherever it goes; two, as files may have to be read for each
    pictures = [to_tensor(draw(rng, side * 3 // 2, side * 3 // 2)) for _ in range(2)]
    layers = [_background(rng, pictures[0], side)]
    for _ in range(int(rng.integers(1, 5))):
        layers.append(_foreground(rng, pictures[rng.integers(2)], side))
    overlay = draw_overlay(rng, side, scale) if rng.random() < _OVERLAY_SHARE else None
    shutter, num_exposures = 0.0, 1
    if rng.random() < _BLUR_SHARE:
        fastest = max(float(layer.velocity.norm()) for layer in layers)
        shutter = min(float(rng.uniform(0.1, 0.4)), _MAX_SHUTTER_PIXELS / max(fastest, 1))
        num_exposures = max(math.ceil(shutter * fastest / 2), 1)
    ramp = float(rng.uniform(-0.3, 0.3)) if rng.random() < _RAMP_SHARE else 0.0
    grain = None
    if rng.random() < _GRAIN_SHARE:
        noise = rng.standard_normal((3, 3, side, side), dtype=np.float32)
        grain = torch.from_numpy(noise) * float(rng.uniform(1, 8) / 255)
    return Scene(layers, overlay, shutter, num_exposures, ramp, grain)


def _background(rng: Generator, picture: Tensor, side: int) -> Layer:
    return _moving(rng, picture, torch.zeros(2), side)


def _foreground(rng: Generator, picture: Tensor, side: int) -> Layer:
    """A part of a picture, or one colour, in a shape of a sixth of the frame to two thirds of it."""
    height, width = (round(side * math.exp(rng.uniform(*_LOG_SIZES))) for _ in range(2))
    mask = draw_shape(rng, height, width)
    if rng.random() < 0.15:
        colour = torch.from_numpy(rng.uniform(0, 1, 3)).float()
        image = colour[:, None, None].expand(3, height, width)
    else:
        y = int(rng.integers(max(picture.shape[1] - height, 0) + 1))
        x = int(rng.integers(max(picture.shape[2] - width, 0) + 1))
        image = picture[:, y : y + height, x : x + width]
        bottom, right = height - image.shape[1], width - image.shape[2]
        image = F.pad(image[None], (0, right, 0, bottom), mode="replicate")[0]
    place = torch.from_numpy(rng.uniform(-0.5, 0.5, 2)).float() * side
    return _moving(rng, torch.cat((image, mask[None])), place, side)


_LOG_SIZES = (math.log(1 / 6), math.log(2 / 3))


def _moving(rng: Generator, image: Tensor, centre: Tensor, side: int) -> Layer:
    """Give a picture a path: as far as a quarter of the frame, short ways as likely as long ones on a log scale."""
    angle, zoom = rng.uniform(-math.pi / 8, math.pi / 8), math.exp(rng.uniform(-0.2, 0.35))
    matrix = _similarity(zoom * math.cos(angle), zoom * math.sin(angle))
    if rng.random() < _STILL_LAYER_SHARE:
        return Layer(image, matrix, torch.zeros(2, 2), centre, torch.zeros(2))
    distance = math.exp(rng.uniform(0, math.log(side / 4)))
    velocity = _polar(distance, rng.uniform(0, 2 * math.pi))
    turn = torch.zeros(2, 2)
    if rng.random() < 0.6:
        growth, spin = rng.uniform(-0.12, 0.12, 2) * rng.random()
        turn = _similarity(growth, 1.5 * spin) @ matrix
    return Layer(image, matrix, turn, centre, velocity, _wave(rng, side))


def _wave(rng: Generator, side: int) -> Wave | None:
    if rng.random() < 0.6:
        return None
    length = side * float(rng.uniform(0.3, 1))
    heading, phase, direction = rng.uniform(0, 2 * math.pi, 3)
    frequency = 2 * math.pi / length
    amplitude = (
        float(rng.uniform(0.02, 0.25)) / frequency
    )  # of the steepest slope, far from folding
    return Wave(
        _polar(amplitude, direction),
        _polar(frequency, heading),
        float(phase),
    )


def _polar(length: float, angle: float) -> Tensor:
    return torch.tensor([length * math.cos(angle), length * math.sin(angle)], dtype=torch.float32)


def _similarity(a: float, b: float) -> Tensor:
    return torch.tensor([[a, -b], [b, a]], dtype=torch.float32)


def _positions(side: int, step: int = 1) -> Tensor:
    """(n, n, 2) positions from the middle of the frame, at every pixel or every `step`th and one past the edge."""
    line = torch.arange(0, side + step - 1, step) - (side - 1) / 2
    y, x = torch.meshgrid(line, line, indexing="ij")
    return torch.stack((x, y), -1)
