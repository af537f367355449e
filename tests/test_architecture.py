"""The shape of the code: which part may import which, who owns which library, and how large a file may grow."""

import ast
import graphlib
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "stsr_cli"
MAX_FILE_LINES = 500
MAX_HELP_SECONDS = 0.3

# A part is a file or folder right under stsr_cli; behind it, the parts it may import. Arrows only go down.
BASE = {"errors", "extras", "interrupts", "labels", "options", "device", "files", "text"}
NETWORK = {"registry", "modules", "ops", "streams", "cdca"}
MIDDLE = {"pipeline", "segments", "checkpoint", "video", "data", "losses", "metrics", "tiling"}
ENGINES = {
    *("hub", "publish", "convert", "pairs", "upscale", "batch", "training", "evaluation", "report"),
    *("bench", "compare", "distribute", "testsets", "reproduce"),
}
BELOW_ENGINES = BASE | NETWORK | MIDDLE

MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "extras": {"text"},
    "interrupts": set(),
    "labels": set(),
    "files": {"errors"},
    "text": set(),
    "windows": set(),
    "options": {"errors"},
    "registry": {"errors"},
    "presets": {"errors", "options", "registry"},
    "device": {"errors", "options", "windows"},
    "console": {"errors", "labels", "options", "text"},
    "modules": {"errors"},
    "ops": {"errors"},
    "spatial": {"modules", "ops"},
    "temporal": {"modules", "ops"},
    "overlays": set(),
    "streams": {"errors", "registry", "modules", "ops", "overlays"},
    "cdca": {"errors", "registry", "modules", "ops", "streams"},
    "pipeline": {"errors"},
    "video": {"errors", "extras", "files", "options", "text"},
    "tiling": {"errors", "modules"},
    "metrics": {"errors", "ops", "perceptual"},
    "losses": BASE | NETWORK,
    "checkpoint": BASE | NETWORK,
    "unpickle": {"errors"},
    "foreign": {"errors", "checkpoint", "unpickle"},
    "segments": {"errors", "files", "options", "video", "text"},
    "data": BASE | NETWORK | {"video"},
    "convert": BASE | NETWORK | {"checkpoint", "foreign"},
    "testsets": {"errors", "data", "video"},
    "perceptual": {"errors", "extras"},
    "hub": BELOW_ENGINES,
    "card": BASE | NETWORK | {"checkpoint"},
    "publish": BELOW_ENGINES | {"hub", "card"},
    "pairs": BASE | NETWORK | {"checkpoint", "hub"},
    "disagreement": BASE | {"checkpoint", "video"},
    "self_score": BASE | NETWORK | {"data", "metrics", "video"},
    "upscale": BELOW_ENGINES | {"hub", "pairs", "disagreement", "self_score", "report"},
    "batch": BELOW_ENGINES | {"pairs", "upscale"},
    "training": BELOW_ENGINES | {"hub", "pairs", "card", "report"},
    "report": BELOW_ENGINES,
    "evaluation": BELOW_ENGINES | {"hub", "pairs", "testsets", "upscale", "report"},
    "compare": BELOW_ENGINES | {"report"},
    "bench": BELOW_ENGINES | {"hub", "pairs", "upscale"},
    "reproduce": BELOW_ENGINES | {"presets", "training", "evaluation", "report"},
    "distribute": BELOW_ENGINES | {"hub", "pairs", "upscale"},
    "cli": BASE | MIDDLE | ENGINES | {"registry", "presets", "console", "streams", "cdca"},
    "__init__": set(),
    "__main__": {"cli"},
}
# What the cli may import outside a function: nothing that brings torch or av.
CLI_AT_TOP = {"cli", "console", "errors", "files", "options", "presets", "registry", "text"}

OWNERS = {
    "click": {"cli"},
    "rich": {"console"},
    "av": {"video"},
    "PIL": {"video"},
    "safetensors": {"checkpoint"},
    "huggingface_hub": {"hub", "publish"},
    "accelerate": {"training"},
    "tensorboard": {"training"},
    "tomli_w": {"training"},
    "torchmetrics": {"perceptual"},
    "matplotlib": {"report"},
    "ray": {"distribute"},
    "fsspec": {"distribute"},
}
FREE = {"torch", "numpy"}
STANDARD_LIBRARY_ONLY = {
    *(
        "__init__",
        "__main__",
        "errors",
        "files",
        "labels",
        "options",
        "presets",
        "registry",
        "text",
        "windows",
    ),
}
NO_TORCH = {"cli", "console", "video"}


@dataclass(frozen=True)
class Import:
    """One imported module, as a dotted name, and whether it happens inside a function."""

    target: str
    line: int
    is_in_function: bool


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in {
        "TYPE_CHECKING",
        "typing.TYPE_CHECKING",
    }


def _walk(node: ast.AST, in_function: bool = False) -> Iterator[tuple[ast.AST, bool]]:
    """Walk a tree without the bodies of `if TYPE_CHECKING`; say of each node if a function holds it."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and _is_type_checking(child):
            for otherwise in child.orelse:
                yield otherwise, in_function
                yield from _walk(otherwise, in_function)
            continue
        yield child, in_function
        is_function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        yield from _walk(child, in_function or is_function)


def imports_of(path: Path, package: Path) -> list[Import]:
    """Return what a file imports. `from a import b` counts as a.b where that is a file of the package."""
    parents = [package.name, *path.relative_to(package).parent.parts]
    found = []
    for node, in_function in _walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [Import(alias.name, node.lineno, in_function) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = parents[: len(parents) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                inner = package.parent.joinpath(*base.split("."), alias.name)
                is_module = inner.is_dir() or inner.with_suffix(".py").is_file()
                target = f"{base}.{alias.name}" if is_module else base
                found.append(Import(target, node.lineno, in_function))
    return found


def _part(dotted: str) -> str:
    """Return the part a dotted name of the package belongs to: stsr_cli.video.reader -> video."""
    return [*dotted.split("."), "__init__"][1]


def _module(dotted: str) -> tuple[str, ...]:
    """Return what identifies a spatial or temporal module: stsr_cli.temporal.dain.flow -> (temporal, dain)."""
    return tuple(dotted.split(".")[1:3])


def _complaint(package: Path, source: str, imported: Import) -> str | None:
    """Return why the file with dotted name `source` may not import this, or None."""
    part, root = _part(source), imported.target.split(".")[0]
    if root == package.name:
        target = _part(imported.target)
        if target == "__init__":
            return None  # `import stsr_cli`, `from stsr_cli import __version__`
        if part == "cli" and not imported.is_in_function and target not in CLI_AT_TOP:
            return f"imports {imported.target} outside a function"
        if target == part:
            is_other = part in {"spatial", "temporal"} and _module(imported.target) != _module(
                source
            )
            return f"imports another module, {imported.target}" if is_other else None
        if target not in MAY_IMPORT[part]:
            return f"may not import {target} ({imported.target})"
        return None
    if root in sys.stdlib_module_names:
        return None
    if part in STANDARD_LIBRARY_ONLY:
        return f"may import the standard library only, not {root}"
    if root == "torch":
        return f"may not import torch ({imported.target})" if part in NO_TORCH else None
    if root in FREE:
        return None
    if root not in OWNERS:
        return f"imports {root}, which has no owner; name one in OWNERS"
    return None if part in OWNERS[root] else f"imports {root}, which is {OWNERS[root]}'s alone"


def _dotted(path: Path, package: Path) -> str:
    parts = path.relative_to(package.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 2 else parts)


def import_violations(package: Path) -> list[str]:
    """Return one line for every import that the tables above forbid."""
    found = []
    for path in sorted(package.rglob("*.py")):
        source = _dotted(path, package)
        if _part(source) not in MAY_IMPORT:
            found.append(f"{source}: has no row in MAY_IMPORT")
            continue
        for imported in imports_of(path, package):
            complaint = _complaint(package, source, imported)
            if complaint:
                found.append(f"{path.relative_to(package.parent)}:{imported.line}: {complaint}")
    return found


def output_violations(package: Path) -> list[str]:
    """Return one line for every print (cli and console may) and every exit (cli may) of the library."""
    found = []
    for path in sorted(package.rglob("*.py")):
        part = _part(_dotted(path, package))
        if part in {"cli", "__main__"}:
            continue
        for node, _ in _walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func)
            is_print = called in {"print", "sys.stdout.write", "sys.stderr.write"}
            is_exit = called in {"sys.exit", "os._exit", "exit", "quit", "SystemExit"}
            if (is_print and part != "console") or is_exit:
                found.append(f"{path.relative_to(package.parent)}:{node.lineno}: calls {called}")
    return found


def long_files(package: Path) -> list[str]:
    """Return one line for every file of more than MAX_FILE_LINES lines."""
    lengths = {
        path: len(path.read_text(encoding="utf-8").splitlines())
        for path in sorted(package.rglob("*.py"))
    }
    return [
        f"{path.relative_to(package.parent)}: {length} lines, {MAX_FILE_LINES} at most"
        for path, length in lengths.items()
        if length > MAX_FILE_LINES
    ]


def missing_docstrings(package: Path) -> list[str]:
    """Return one line for every module and every public class, function and method without a docstring.

    Not asked of `forward` and the other methods that modules.py documents for all modules, of
    overloads and overrides, and of what a function hides.
    """
    found = []
    contract = {"forward"} | {
        node.name
        for node in ast.walk(ast.parse((package / "modules.py").read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef) and ast.get_docstring(node)
    }

    def visit(node: ast.Module | ast.ClassDef, name: str) -> None:
        documented = contract if isinstance(node, ast.ClassDef) else set()
        for child in node.body:
            if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                continue
            decorators = {ast.unparse(decorator) for decorator in child.decorator_list}
            is_exempt = decorators & {"overload", "override", "typing.overload"}
            if child.name.startswith("_") or child.name in documented or is_exempt:
                continue
            if ast.get_docstring(child) is None and not any(".setter" in d for d in decorators):
                found.append(f"{name}:{child.lineno}: {child.name}")
            if isinstance(child, ast.ClassDef):
                visit(child, name)

    for path in sorted(package.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        name = str(path.relative_to(package.parent))
        if ast.get_docstring(tree) is None:
            found.append(f"{name}:1: the module")
        visit(tree, name)
    return found


CHECKS = [import_violations, output_violations, long_files, missing_docstrings]
Check = Callable[[Path], list[str]]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_package_keeps_its_shape(check: Check) -> None:
    assert len(list(PACKAGE.rglob("*.py"))) > 5, f"{PACKAGE} holds hardly any code"
    assert check(PACKAGE) == []


def test_the_table_has_no_circles() -> None:
    rows = {part: targets - {part} for part, targets in MAY_IMPORT.items()}
    graphlib.TopologicalSorter(rows).prepare()
    assert set().union(*rows.values()) <= set(MAY_IMPORT)


PLANTED = [
    ("streams.py", "from stsr_cli.upscale import run", "may not import upscale"),
    ("streams.py", "from stsr_cli.spatial.vdsr import VDSR", "may not import spatial"),
    ("streams.py", "from stsr_cli.spatial import vdsr", "may not import spatial"),
    ("ops.py", "def f():\n    from . import streams", "may not import streams"),
    ("spatial/espcn.py", "from stsr_cli.spatial.vdsr import VDSR", "imports another module"),
    ("spatial/espcn.py", "from . import vdsr", "imports another module"),
    ("spatial/espcn.py", "from .. import streams", "may not import streams"),
    ("spatial/espcn.py", "from stsr_cli.temporal import dain", "may not import temporal"),
    ("temporal/dain/flow.py", "from ...spatial import vdsr", "may not import spatial"),
    ("video/reader.py", "import torch.nn", "may not import torch"),
    ("video/reader.py", "def f():\n    import torch", "may not import torch"),
    ("video/reader.py", "from stsr_cli import ops", "may not import ops"),
    ("options.py", "import numpy", "standard library only"),
    ("ops.py", "import av", "imports av"),
    ("ops.py", "def f():\n    import av.video", "imports av"),
    ("upscale.py", "from rich.progress import Progress", "imports rich"),
    ("upscale.py", "import click", "imports click"),
    ("upscale.py", "from safetensors.torch import load_file", "imports safetensors"),
    ("upscale.py", "import requests", "has no owner"),
    ("upscale.py", "try:\n    import ray\nexcept ImportError:\n    ray = None", "imports ray"),
    ("cli/probe.py", "from stsr_cli.video import probe", "outside a function"),
    ("cli/probe.py", "import torch", "may not import torch"),
    ("cli/probe.py", "def f():\n    from stsr_cli.spatial import vdsr", "may not import spatial"),
    ("helpers.py", "import os", "has no row"),
]
ALLOWED = [
    ("ops.py", "import torch\nimport numpy\nfrom stsr_cli.errors import StsrError"),
    ("streams.py", "from stsr_cli import registry\nfrom stsr_cli.modules import Card"),
    ("temporal/dain/flow.py", "from stsr_cli.temporal.dain.depth import D\nfrom . import depth"),
    ("temporal/dain/__init__.py", "from .depth import D\nfrom stsr_cli.ops import warp"),
    ("video/reader.py", "import av\nfrom stsr_cli.video.probe import p\nfrom .probe import p"),
    ("video/reader.py", "if TYPE_CHECKING:\n    from torch import Tensor\n    import rich"),
    ("cli/probe.py", "import click\ndef f():\n    from stsr_cli.video import probe"),
    ("cli/probe.py", "from stsr_cli import __version__\nfrom stsr_cli.options import Options"),
    ("__main__.py", "from stsr_cli.cli import main"),
]


@pytest.fixture
def small_package(tmp_path: Path) -> Path:
    """A package with the layout of stsr_cli and nothing wrong in it."""
    package = tmp_path / "stsr_cli"
    names = "errors options ops modules registry streams upscale spatial/vdsr temporal/dain/depth"
    for name in [*names.split(), "video/probe", "cli/probe"]:
        path = (package / name).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('"""Documented."""\n', encoding="utf-8")
    for folder in [package, *(path for path in package.rglob("*") if path.is_dir())]:
        (folder / "__init__.py").write_text('"""Documented."""\n', encoding="utf-8")
    return package


def _plant(package: Path, name: str, code: str) -> None:
    path = package / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'"""Documented."""\n{code}\n', encoding="utf-8")


@pytest.mark.parametrize(("name", "code", "complaint"), PLANTED)
def test_a_forbidden_import_is_found(
    small_package: Path, name: str, code: str, complaint: str
) -> None:
    assert import_violations(small_package) == []
    _plant(small_package, name, code)
    found = import_violations(small_package)
    assert len(found) == 1
    assert complaint in found[0]


@pytest.mark.parametrize(("name", "code"), ALLOWED)
def test_an_allowed_import_is_left_alone(small_package: Path, name: str, code: str) -> None:
    _plant(small_package, name, code)
    assert import_violations(small_package) == []


@pytest.mark.parametrize(
    ("check", "name", "code", "num_found"),
    [
        (output_violations, "ops.py", "def f():\n    print('x')", 1),
        (output_violations, "upscale.py", "def f():\n    raise SystemExit(3)", 1),
        (output_violations, "console.py", "import sys\nprint('x')\nsys.exit(1)", 1),
        (output_violations, "cli/probe.py", "print('x')", 0),
        (long_files, "ops.py", "x = 1\n" * (MAX_FILE_LINES - 2), 0),
        (long_files, "ops.py", "x = 1\n" * MAX_FILE_LINES, 1),
        (missing_docstrings, "ops.py", "def f():\n    pass", 1),
        (missing_docstrings, "ops.py", "class C:\n    def f(self):\n        pass", 2),
        (missing_docstrings, "ops.py", "class _C:\n    def forward(self):\n        pass", 0),
        (missing_docstrings, "ops.py", "def forward():\n    pass", 1),
        (missing_docstrings, "ops.py", "def _f():\n    def g():\n        pass", 0),
        (missing_docstrings, "ops.py", "class _C:\n    def f(self):\n        pass", 0),
    ],
)
def test_other_planted_faults_are_counted(
    small_package: Path, check: Check, name: str, code: str, num_found: int
) -> None:
    assert check(small_package) == []
    _plant(small_package, name, code)
    assert len(check(small_package)) == num_found


HELP_SCRIPT = """
import sys
from stsr_cli.cli import main
main(["--help"], prog_name="stsr", standalone_mode=False)
loaded = {"torch", "av", "numpy", "rich"} & set(sys.modules)
assert not loaded, f"stsr --help imported {sorted(loaded)}"
"""


def test_help_imports_nothing_heavy() -> None:
    result = subprocess.run(
        [sys.executable, "-c", HELP_SCRIPT], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert re.search(r"Usage: stsr", result.stdout)


def test_help_is_instant() -> None:
    """Measured in seconds of processor time, the best of three, so that a loaded machine is no failure."""
    command = Path(sys.executable).with_name("stsr")
    seconds = []
    for _ in range(3):
        before = os.times()
        subprocess.run([str(command), "--help"], check=True, stdout=subprocess.DEVNULL)
        after = os.times()
        spent = after.children_user - before.children_user
        seconds.append(spent + after.children_system - before.children_system)
    assert min(seconds) < MAX_HELP_SECONDS
