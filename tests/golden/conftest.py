"""What golden tests share: weights by formula, reading a golden, and the one comparison with its tolerances."""

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor


def fill(name: str, shape: Sequence[int], dtype: str, gains: Mapping[str, float]) -> Tensor:
    """Return the entry `name` of a state dict by rule v1: a function of its name and shape alone.

    A standard normal z from RandomState(crc32 of the name, without its top bit), scaled by kind: matrices and kernels
    by sqrt(2 / fan-in) and the gain of the longest prefix that fits; 1 + 0.1 |z| for running variances, 0.1 z for
    running means, 0.05 z for biases, 0.25 + 0.02 z for single numbers (PReLU), 1 + 0.1 z for other vectors. Integer
    entries are 0. In float64, rounded once at the end.
    """
    if "int" in dtype:
        return torch.zeros(tuple(shape), dtype=torch.int64)
    seed = zlib.crc32(name.encode()) & 0x7FFFFFFF
    z = np.random.RandomState(seed).standard_normal(tuple(shape))
    if len(shape) > 1:
        prefix = max((key for key in gains if name.startswith(key)), key=len, default=None)
        values = z * np.sqrt(2.0 / np.prod(shape[1:])) * (1.0 if prefix is None else gains[prefix])
    elif name.endswith("running_var"):
        values = 1 + 0.1 * np.abs(z)
    elif name.endswith("running_mean"):
        values = 0.1 * z
    elif name.endswith("bias"):
        values = 0.05 * z
    elif tuple(shape) == (1,):
        values = 0.25 + 0.02 * z
    else:
        values = 1 + 0.1 * z
    return torch.from_numpy(np.asarray(values, dtype=np.float32))


@dataclass(frozen=True)
class Golden:
    """One file: `meta`, inputs as float tensors in [0, 1], and stored outputs."""

    meta: dict[str, Any]
    arrays: dict[str, np.ndarray]

    def input(self, name: str) -> Tensor:
        """A stored input, (B, C, H, W) float32; what is stored as uint8 comes in [0, 1]."""
        array = self.arrays[f"in/{name}"]
        values = torch.from_numpy(array).float()
        return values / 255 if array.dtype == np.uint8 else values

    def state_dict(self) -> dict[str, Tensor]:
        """All weights under the reference's names."""
        gains = self.meta["gains"] or {}
        return {name: fill(name, shape, dtype, gains) for name, shape, dtype in self.meta["keys"]}

    def check(self, name: str, found: Tensor) -> None:
        """Assert that `found` is the stored output `name`, within the bounds that the file itself gives.

        A large output is stored as a crop, every so-many-th value, and mean, deviation, minimum and maximum of all.
        """
        output = self.meta["outputs"][name]
        values = found.double().numpy()
        assert list(values.shape) == output["shape"]
        if output["stored"] == "full":
            parts = {"": values}
        else:
            crop = tuple(slice(*bounds) for bounds in output["crop"])
            grid = tuple(slice(None, None, step) for step in output["stride"])
            stats = [values.mean(), values.std(), values.min(), values.max()]
            parts = {".crop": values[crop], ".sub": values[grid], ".stats": np.array(stats)}
        bounds = output["suggest"]
        for part, value in parts.items():
            expected = self.arrays[f"out/{name}{part}"]
            assert expected.shape == value.shape
            assert expected.std() > 0.01, "an output without contrast would prove nothing"
            error = np.abs(value - expected)
            assert np.quantile(error, 0.999) <= bounds["p99.9"], f"{name}{part}"
            # None: one position within rounding of an integer may land elsewhere and change a few pixels
            assert bounds["max"] is None or error.max() <= bounds["max"], f"{name}{part}"


HERE = Path(__file__).parent / "data"


@pytest.fixture(params=["copy", "shared"])
def golden(request: pytest.FixtureRequest) -> Any:
    """Read a golden by name, once from the repository and once from the folder `shared` beside it."""
    folder = HERE
    if request.param == "shared":
        folder = request.getfixturevalue("shared_dir") / "golden" / "dev"

    def read(name: str) -> Golden:
        path = folder / f"{name}.npz"
        if request.param == "shared" and not path.is_file():
            pytest.skip(f"{name}.npz is not in the folder 'shared'")
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files if key != "meta"}
            return Golden(json.loads(str(file["meta"])), arrays)

    return read


@pytest.fixture(name="fill")
def _fill() -> Any:
    """The rule itself."""
    return fill
