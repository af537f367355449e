"""The folder is the registry."""

import subprocess
import sys

import pytest

from stsr_cli.errors import UsageError
from stsr_cli.modules import SpatialModule, TemporalModule
from stsr_cli.registry import available, build, load


def test_baselines_and_defaults_are_there():
    assert {"bicubic", "span", "espcn"} <= set(available("spatial"))
    assert {"blend", "rife", "dvf"} <= set(available("temporal"))


@pytest.mark.parametrize("kind", ["spatial", "temporal"])
def test_names_are_sorted_and_hold_no_private_file(kind):
    names = available(kind)
    assert list(names) == sorted(set(names))
    assert all(name.isidentifier() and not name.startswith("_") for name in names)


def test_listing_imports_no_module_and_no_torch():
    code = (
        "import sys; from stsr_cli.registry import available\n"
        "names = [*available('spatial'), *available('temporal')]\n"
        "assert names\n"
        "print([m for m in sys.modules if m in ('torch', 'numpy', 'av')\n"
        "       or m.startswith(('stsr_cli.spatial', 'stsr_cli.temporal'))])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout == "[]\n"


@pytest.mark.parametrize(
    ("kind", "base"), [("spatial", SpatialModule), ("temporal", TemporalModule)]
)
def test_every_listed_module_is_one_of_its_kind(kind, base):
    for name in available(kind):
        assert issubclass(load(kind, name), base)


@pytest.mark.parametrize(
    ("kind", "name", "hint"),
    [
        ("spatial", "bicubik", "did you mean 'bicubic'?"),
        ("spatial", "expcn", "did you mean 'espcn'?"),
        ("temporal", "rive", "did you mean 'rife'?"),
    ],
)
def test_a_typo_gets_a_hint(kind, name, hint):
    with pytest.raises(UsageError) as caught:
        load(kind, name)
    message = str(caught.value)
    assert hint in message
    assert repr(name) in message
    assert all(other in message for other in available(kind))
    assert "\n" not in message


@pytest.mark.parametrize("name", ["", "zzzzzz", "__init__", "../ops", "spatial.bicubic", "BICUBIC"])
def test_what_is_not_listed_is_not_imported(name):
    with pytest.raises(UsageError, match="available: "):
        load("spatial", name)


def test_kinds_do_not_mix():
    with pytest.raises(UsageError):
        load("spatial", "blend")
    with pytest.raises(UsageError):
        load("temporal", "bicubic")


def test_build_passes_the_configuration_on():
    module = build("spatial", "espcn", {"scale": 2, "num_channels": 6})
    assert module.scale == 2
    assert module.config == {"scale": 2, "num_channels": 6, "output": "linear"}


def test_build_refuses_an_unknown_argument():
    with pytest.raises(UsageError, match="num_chanels"):
        build("spatial", "espcn", {"num_chanels": 6})
