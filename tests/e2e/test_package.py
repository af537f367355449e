"""What is shipped: the wheel, its weights, and a run of it where there is no checkout."""

import hashlib
import json
import os
import re
import subprocess
import sys
import sysconfig
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest

from stsr_cli.checkpoint import read_header
from stsr_cli.registry import available

REPOSITORY = Path(__file__).resolve().parents[2]
WEIGHTS = REPOSITORY / "weights"
MANIFEST = WEIGHTS / "manifest.json"
NOTICE = REPOSITORY / "weights" / "NOTICE"
TERMS = WEIGHTS / "LICENSE"

needs_weights = pytest.mark.skipif(
    not MANIFEST.is_file(), reason="weights/manifest.json is not there: no weights ship yet"
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder]
    result = subprocess.run(
        [*command, REPOSITORY], capture_output=True, text=True, timeout=120, check=False
    )
    assert result.returncode == 0, result.stderr + result.stdout
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The Python of a new environment that holds the wheel, and this one's other packages after it."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    paths = sysconfig.get_paths(vars={"base": str(folder), "platbase": str(folder)})
    site_packages = Path(paths["purelib"])
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site_packages)
    # A path in a .pth file is searched last, and the .pth files in there (an editable stsr's) are not read.
    others = sysconfig.get_paths()["purelib"]
    (site_packages / "others.pth").write_text(f"{others}\n")
    return folder / Path(paths["scripts"]).name / "python"


def run_installed(python, *arguments, cwd):
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment = {**clean, "HOME": str(cwd), "HF_HUB_OFFLINE": "1"}
    return subprocess.run(
        [str(python), "-P", *map(str, arguments)],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def test_wheel_holds_the_code_and_nothing_of_the_tests(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    files = [path for path in (REPOSITORY / "stsr_cli").rglob("*") if path.is_file()]
    code = {str(p.relative_to(REPOSITORY)) for p in files if "__pycache__" not in p.parts}
    assert {Path(name).suffix for name in code} >= {".py", ".toml", ".html", ".css", ".js"}
    assert code <= set(names)
    assert {name.split("/")[0] for name in names} == {"stsr_cli", wheel_info(names)}
    assert not [name for name in names if "__pycache__" in name or "/tests/" in name]
    assert "stsr_cli/py.typed" in names


def test_wheel_names_the_terms_of_the_code_and_of_the_weights(wheel):
    archive = zipfile.ZipFile(wheel)
    info = wheel_info(archive.namelist())
    metadata = message_from_bytes(archive.read(f"{info}/METADATA"))
    terms = "Apache-2.0 AND LicenseRef-stsr-weights-non-commercial-research"
    assert metadata["License-Expression"] == terms
    assert archive.read(f"{info}/licenses/LICENSE") == (REPOSITORY / "LICENSE").read_bytes()
    of_weights = archive.read(f"{info}/licenses/weights/LICENSE")
    assert of_weights == archive.read("stsr_cli/weights/LICENSE") == TERMS.read_bytes()
    said = " ".join(of_weights.decode().split())
    for entry in embedded_weights().values():
        assert entry["file"] in said
        assert entry["licence"] in ("non-commercial research", "Apache-2.0")
    assert archive.read(f"{info}/licenses/weights/NOTICE") == NOTICE.read_bytes()
    assert "what you make with these weights is for non-commercial research only" in said


def test_readme_of_an_index_page_has_whole_addresses(wheel):
    archive = zipfile.ZipFile(wheel)
    metadata = message_from_bytes(archive.read(f"{wheel_info(archive.namelist())}/METADATA"))
    text = metadata.get_payload()
    home = dict(line.split(", ") for line in metadata.get_all("Project-URL"))["Source"]
    targets = re.findall(r"\]\(([^)\s]+)\)", re.sub(r"(?ms)^```.*?^```", "", text))
    assert f"{home}/raw/main/tests/data/before_after.png" in targets
    assert f"{home}/blob/main/weights/LICENSE" in targets
    assert not [one for one in targets if not one.startswith(("https://", "#"))]
    for one in targets:  # none leads where nothing is
        path = re.fullmatch(rf"{home}/(?:raw|blob)/main/([^#]*).*", one)
        assert path is None or (REPOSITORY / path[1]).exists(), one
    assert "stsr upscale in.mp4 out.mp4" in text


def wheel_info(names):
    (folder,) = {name.split("/")[0] for name in names if ".dist-info/" in name}
    return folder


@needs_weights
def test_wheel_holds_the_weights(wheel):
    archive = zipfile.ZipFile(wheel)
    shipped = {path.name for path in WEIGHTS.iterdir() if not path.name.startswith(".")}
    assert {
        Path(name).name for name in archive.namelist() if name.startswith("stsr_cli/weights/")
    } == shipped
    assert archive.read("stsr_cli/weights/manifest.json") == MANIFEST.read_bytes()


def test_installed_wheel_runs_outside_the_checkout(installed, demo_clip, make_clip, tmp_path):
    where = run_installed(
        installed, "-c", "import stsr_cli; print(stsr_cli.__file__)", cwd=tmp_path
    )
    assert where.returncode == 0, where.stderr
    assert Path(where.stdout.strip()).is_relative_to(installed.parents[1])
    make_clip("in.mp4", num_frames=2, width=64, height=48)
    names = ["--spatial", "bicubic", "--temporal", "blend"]
    result = run_installed(
        installed, "-m", "stsr_cli", "upscale", "in.mp4", "out.mp4", *names, cwd=tmp_path
    )
    assert result.returncode == 0, result.stderr
    assert "4 frames of 256x192" in result.stderr


@needs_weights
def test_installed_wheel_finds_its_weights(installed, make_clip, tmp_path):
    """The default pair, as the README's first command uses it."""
    make_clip("in.mp4", num_frames=2, width=64, height=48)
    result = run_installed(
        installed, "-m", "stsr_cli", "upscale", "in.mp4", "out.mp4", cwd=tmp_path
    )
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "out.mp4").stat().st_size > 0
    code = "from stsr_cli.hub import resolve_weights\n"
    code += f"for name in {list(embedded_weights())}: print(resolve_weights(name))"
    result = run_installed(installed, "-c", code, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    found = [Path(line) for line in result.stdout.splitlines()]
    assert len(found) == len(embedded_weights())
    for path in found:
        assert path.is_relative_to(installed.parents[1])


def embedded_weights():
    """The entries of the manifest that ship; others are on the Hub."""
    entries = json.loads(MANIFEST.read_text())
    return {name: entry for name, entry in entries.items() if "repo" not in entry}


def test_command_is_installed_under_its_name(wheel):
    archive = zipfile.ZipFile(wheel)
    entry_points = archive.read(f"{wheel_info(archive.namelist())}/entry_points.txt").decode()
    assert "stsr = stsr_cli.cli:main" in entry_points


@needs_weights
def test_every_weights_file_is_what_the_manifest_says():
    embedded = embedded_weights()
    assert embedded
    for name, entry in embedded.items():
        path = WEIGHTS / entry["file"]
        assert path.is_file(), name
        assert hashlib.sha256(path.read_bytes()).hexdigest() == entry["sha256"], name
        header = read_header(path)
        for part in ("spatial", "temporal", "cdca"):
            in_file = header.get(part, {}).get("name")
            assert in_file == entry.get(part), f"{name}: {part}"
            known = ("cdca",) if part == "cdca" else available(part)
            assert in_file is None or in_file in known, f"{name}: {part}"
    files = {entry["file"] for entry in embedded.values()}
    assert {path.name for path in WEIGHTS.glob("*.safetensors")} == files


@needs_weights
def test_every_weights_file_has_a_model_card():
    """A card says what the weights saw, under which terms, how they were made, and how good they are."""
    for entry in embedded_weights().values():
        card = WEIGHTS / entry["card"]
        assert card.is_file(), f"{card.name} is missing"
        text = card.read_text().lower()
        for word in ("data", "licence", "stsr train", "minutes", "result"):
            assert word in text, f"{card.name} says nothing about: {word}"
        assert re.search(r"\d+\.\d+ ?db", text), f"{card.name} names no result in dB"
        assert str(REPOSITORY.parent).lower() not in text, (
            f"{card.name} names a folder of this machine"
        )
