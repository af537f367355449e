"""The reference implementations' names of weights, as stsr's: what a converter of their checkpoints needs."""

import re

# Reference -> (pattern, replacement) rules; the first that matches a whole name is applied.
REFERENCE_KEYS: dict[str, tuple[tuple[str, str], ...]] = {
    "ESPCN": (  # Lornatang/ESPCN-PyTorch
        (r"feature_maps\.0\.(\w+)", r"conv1.\1"),
        (r"feature_maps\.2\.(\w+)", r"conv2.\1"),
        (r"sub_pixel\.0\.(\w+)", r"conv3.\1"),
    ),
    "DVF": (  # lxx1991/pytorch-voxel-flow
        (r"conv4\.(\w+)", r"conv4.\1"),
        (r"(\w+)_bn\.(\w+)", r"\1.1.\2"),
        (r"(\w+)\.weight", r"\1.0.weight"),
    ),
}


def renamed(reference: str, name: str) -> str:
    """Return stsr's name of an entry of the reference's state dict."""
    for pattern, replacement in REFERENCE_KEYS[reference]:
        if re.fullmatch(pattern, name):
            return re.sub(pattern, replacement, name)
    raise KeyError(f"no rule for {reference}'s {name!r}")
