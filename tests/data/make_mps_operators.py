"""Writes mps_operators.txt: the operators that run on Apple's GPUs in a release of torch.

    python tests/data/make_mps_operators.py NATIVE_FUNCTIONS_YAML > tests/data/mps_operators.txt

The argument is torchgen/packaged/ATen/native/native_functions.yaml of that release, which its wheels hold. Those that
are made of others count as little as what they are made of: they are not in the list.
"""

import sys
from pathlib import Path

import yaml


def name_of(entry):
    return entry["func"].split("(")[0]


def has_kernel(entry):
    backends = {key.strip() for keys in entry.get("dispatch", ()) for key in keys.split(",")}
    return "MPS" in backends


entries = {name_of(entry): entry for entry in yaml.safe_load(Path(sys.argv[1]).read_text())}
for name, entry in sorted(entries.items()):
    if has_kernel(entries.get(entry.get("structured_delegate"), entry)):
        print(name)
