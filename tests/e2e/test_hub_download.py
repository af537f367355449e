"""Weights on the Hub with its real client, against a server on this machine: fetched, checked, cached, refused."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from stsr_cli.hub import manifest

from .hub_server import TOKEN, digest

WEIGHTS = 5
NAME = "hf:someone/pair:espcn.safetensors"
TRAINING = ["--labeled", "in.mp4", "--out", "o.safetensors", "--steps", "1"]
PLAIN = ["--spatial", "espcn", "--temporal", "blend"]


@pytest.fixture
def content(weights_file) -> bytes:
    return weights_file.read_bytes()


@pytest.fixture
def commit(hub, content) -> str:
    """someone/pair with espcn.safetensors in it; the commit."""
    return hub.repository("someone/pair", {"espcn.safetensors": content, "notes.txt": b"x"})


@pytest.fixture
def published(tmp_path, commit, content) -> Path:
    """A folder of embedded weights whose manifest has one entry, on the Hub."""
    entry = {
        "repo": "someone/pair",
        "revision": commit,
        "file": "espcn.safetensors",
        "sha256": digest(content),
        "spatial": "espcn",
        "size_bytes": len(content),
        "licence": "cc0-1.0",
        "results": {"vid4": {"t2s": 22.5, "s2t": 23.0}},
    }
    folder = tmp_path / "published"
    folder.mkdir()
    (folder / "manifest.json").write_text(json.dumps({"small": entry}))
    return folder


@pytest.fixture
def cache(tmp_path) -> Path:
    return tmp_path / "hf" / "hub"


def blobs(cache: Path) -> list[str]:
    """Names of all blobs in the cache, unfinished ones included."""
    return sorted(path.name for path in cache.glob("models--*/blobs/*"))


def damage(cache: Path, content: bytes) -> None:
    """Change a byte of the cached copy."""
    (blob,) = cache.glob(f"models--*/blobs/{digest(content)}")
    blob.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


def test_weights_are_fetched_once_and_then_need_no_network(
    hub_stsr, hub, make_clip, tmp_path, commit
):
    arguments = ["upscale", make_clip("in.mp4", num_frames=2, width=32, height=32), *PLAIN]
    first = hub_stsr(*arguments, "a.mp4", "--weights", NAME, "-q")
    assert (first.returncode, first.stdout, first.stderr) == (0, "", "")
    assert hub.bodies() == 1
    asked = len(hub.log)
    for number, offline in enumerate(({"HF_HUB_OFFLINE": "1"}, {})):
        flag = [] if offline else ["--offline"]
        again = hub_stsr(*arguments, f"{number}.mp4", "--weights", NAME, "-q", *flag, env=offline)
        assert (again.returncode, again.stderr) == (0, "")
        assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / f"{number}.mp4").read_bytes()
    assert len(hub.log) == asked


def test_pull_then_path(hub_stsr, hub, content, commit, cache):
    pulled = hub_stsr("weights", "pull", NAME)
    assert pulled.returncode == 0, pulled.stderr
    assert pulled.stdout == ""
    assert pulled.stderr.startswith(f"{NAME}: fetched, sha256 {digest(content)}: ")
    assert len(pulled.stderr.splitlines()) == 1
    again = hub_stsr("weights", "pull", NAME)
    assert again.stderr.startswith(f"{NAME}: was here, ")
    path = hub_stsr("weights", "path", NAME, "--offline")
    assert path.returncode == 0, path.stderr
    assert Path(path.stdout.strip()).read_bytes() == content
    assert hub.bodies() == 1
    assert blobs(cache) == [digest(content)]


def test_path_fetches(hub_stsr, content, commit):
    path = hub_stsr("weights", "path", f"hf:someone/pair@{commit}:espcn.safetensors")
    assert path.stderr == ""
    assert Path(path.stdout.strip()).read_bytes() == content


def test_a_published_name_is_listed_fetched_by_itself_and_verified(
    hub_stsr, make_clip, published, content
):
    def place():
        listed = hub_stsr("weights", "list", "--json", weights_folder=published)
        assert listed.stderr == ""
        (row,) = json.loads(listed.stdout)["weights"]
        return row["place"]

    assert place() == "hub"
    clip = make_clip("in.mp4", num_frames=2, width=32, height=32)
    ran = hub_stsr("upscale", clip, "out.mp4", *PLAIN, "-q", weights_folder=published)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert place() == "cached"
    table = hub_stsr("weights", "list", weights_folder=published).stderr
    for word in ("small", "cached", "espcn", "cc0-1.0", "23.00 / -", "span", "dvf", "convert"):
        assert word in table
    verified = hub_stsr("weights", "verify", weights_folder=published)
    assert verified.returncode == 0, verified.stderr
    assert "ok" in verified.stderr


def test_what_ships_needs_no_network(hub_stsr, hub):
    for name in ("span+rife", "span-rife"):
        pulled = hub_stsr("weights", "pull", name)
        assert pulled.returncode == 0
        assert "nothing to fetch" in pulled.stderr
    verified = hub_stsr("weights", "verify")
    assert verified.returncode == 0, verified.stderr
    assert verified.stderr.count("embedded") == len(manifest())
    assert hub.log == []


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("hf:someone/pair:other.safetensors", ["no such file"]),
        ("hf:someone/pair@gone:espcn.safetensors", ["no such revision"]),
        ("hf:nobody/pair:espcn.safetensors", ["no such repository", "hf auth login", "HF_TOKEN"]),
        ("hf:someone/secret:a.safetensors", ["no such repository, or it is private", "HF_TOKEN"]),
        ("hf:someone/gated:a.safetensors", ["gated", "ask for access", "HF_TOKEN"]),
        ("hf:some--one/pair:a.safetensors", ["some--one/pair"]),
        ("hf:someone/pair:../a.safetensors", ["../a.safetensors"]),
        ("hf:someone/pair", ["is not hf:OWNER/REPO"]),
        ("hf:someone/pair:weights.bin", ["is not hf:OWNER/REPO"]),
        ("smal", ["'smal'", "published: small"]),
    ],
)
def test_a_name_that_cannot_be_had(hub_fails, hub, make_clip, published, tmp_path, name, words):
    hub.repository("someone/secret", {"a.safetensors": b"x"}, private=True)
    hub.repository("someone/gated", {"a.safetensors": b"x"}, gated=True)
    arguments = ["upscale", make_clip("in.mp4", num_frames=2), "out.mp4", *PLAIN, "--weights", name]
    said = hub_fails(WEIGHTS, *arguments, weights_folder=published)
    for word in [name, *words]:
        assert word in said
    assert not (tmp_path / "out.mp4").exists()
    assert hub.bodies() == 0


@pytest.mark.parametrize("kind", ["private", "gated"])
def test_a_token_opens_the_door(hub_stsr, hub, content, kind):
    hub.repository("someone/pair", {"espcn.safetensors": content}, **{kind: True})
    pulled = hub_stsr("weights", "pull", NAME, env={"HF_TOKEN": TOKEN})
    assert pulled.returncode == 0, pulled.stderr


def test_the_wrong_pinned_checksum(hub_fails, published, cache, content):
    manifest = published / "manifest.json"
    manifest.write_text(manifest.read_text().replace(digest(content), "0" * 64))
    said = hub_fails(WEIGHTS, "weights", "pull", "small", weights_folder=published)
    for word in ("small", digest(content), "0" * 64, "refused"):
        assert word in said
    assert blobs(cache) == []
    hub_fails(WEIGHTS, "weights", "path", "small", "--offline", weights_folder=published)


def test_other_bytes_than_the_hub_promises(hub_fails, hub, commit, content, cache):
    hub.replaced[digest(content)] = content[::-1]
    said = hub_fails(WEIGHTS, "weights", "pull", NAME)
    assert "refused" in said
    assert digest(content) in said
    assert hub.bodies() == 2
    assert blobs(cache) == []


def test_more_bytes_than_the_hub_promises(hub_fails, hub, commit, content, cache):
    hub.replaced[digest(content)] = content + b"more"
    assert "size" in hub_fails(WEIGHTS, "weights", "pull", NAME)
    assert blobs(cache) == []


def test_a_damaged_cached_copy(hub_stsr, hub_fails, hub, published, commit, content, cache):
    hub_stsr("weights", "pull", NAME)
    damage(cache, content)
    assert "damaged" in hub_fails(WEIGHTS, "weights", "path", NAME, "--offline")
    verified = hub_stsr("weights", "verify", "small", NAME, weights_folder=published)
    assert verified.returncode == WEIGHTS
    assert verified.stderr.splitlines()[-1].startswith("stsr: 2 of 2 weights are bad: small, hf:")
    assert hub.bodies() == 1
    pulled = hub_stsr("weights", "pull", NAME)
    assert pulled.returncode == 0, pulled.stderr
    assert hub.bodies() == 2
    assert hub_stsr("weights", "verify", NAME, "--offline").returncode == 0


def test_a_damaged_cached_copy_and_no_hub(hub_stsr, hub_fails, hub, commit, content, cache):
    hub_stsr("weights", "pull", NAME)
    damage(cache, content)
    hub.status = 503
    assert "503" in hub_fails(WEIGHTS, "weights", "path", NAME)


def test_a_cut_connection_is_taken_up_again(hub_stsr, hub, cache):
    large = os.urandom(
        24 << 20
    )  # the client writes 10 MiB at a time and resumes after what it wrote
    hub.repository("someone/pair", {"espcn.safetensors": large})
    hub.cuts = 1
    path = hub_stsr("weights", "path", NAME)
    assert (path.returncode, path.stderr) == (0, "")
    assert Path(path.stdout.strip()).read_bytes() == large
    assert hub.ranges == [f"bytes={10 << 20}-"]
    assert blobs(cache) == [digest(large)]


def test_a_connection_that_is_always_cut(hub_fails, hub, commit, cache):
    hub.cuts = 1000
    said = hub_fails(WEIGHTS, "weights", "pull", NAME)
    assert "closed connection" in said
    assert "network" in said
    assert blobs(cache) == []


def test_a_xet_store_that_does_not_work(hub_stsr, hub_fails, hub, commit, cache):
    hub.is_xet = True
    said = hub_fails(WEIGHTS, "weights", "pull", NAME)
    assert "HF_HUB_DISABLE_XET=1" in said
    assert blobs(cache) == []
    assert hub_stsr("weights", "pull", NAME, env={"HF_HUB_DISABLE_XET": "1"}).returncode == 0


FAULTS = {
    "500": ({"status": 500}, "500"),
    "503": ({"status": 503}, "503"),
    "429": ({"status": 429}, "429"),
    "hangs up": ({"hang_up": True}, "disconnected"),
    "is slow": ({"answer_seconds": 1.5}, "timed out"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_hub_that_does_not_answer(hub_stsr, hub_fails, hub, commit, fault):
    """Without a cached file it is one line; with one it does not matter."""
    quick = {"HF_HUB_ETAG_TIMEOUT": "1"}
    changes, word = FAULTS[fault]
    vars(hub).update(changes)
    said = hub_fails(WEIGHTS, "weights", "pull", NAME, env=quick)
    assert word in said
    assert NAME in said
    vars(hub).update({"status": None, "hang_up": False, "answer_seconds": 0.0})
    assert hub_stsr("weights", "pull", NAME).returncode == 0
    vars(hub).update(changes)
    pulled = hub_stsr("weights", "pull", NAME, env=quick)
    assert pulled.returncode == 0, pulled.stderr
    assert pulled.stderr.startswith(f"{NAME}: was here, ")


def test_a_hub_that_is_gone(hub_stsr, hub_fails, commit):
    gone = {"HF_ENDPOINT": "http://127.0.0.1:9"}
    said = hub_fails(WEIGHTS, "weights", "pull", NAME, env=gone)
    assert "refused" in said
    assert "check the network, the proxy and HF_ENDPOINT" in said
    assert hub_stsr("weights", "pull", NAME).returncode == 0
    assert hub_stsr("weights", "pull", NAME, env=gone).returncode == 0


def test_a_new_version_that_cannot_be_fetched_leaves_the_old_one(hub_stsr, hub, commit, content):
    hub_stsr("weights", "pull", NAME)
    hub.repositories["someone/pair"].commit({"espcn.safetensors": content + b"new"})
    hub.cdn_status = 500
    pulled = hub_stsr("weights", "path", NAME)
    assert (pulled.returncode, pulled.stderr) == (0, "")
    assert Path(pulled.stdout.strip()).read_bytes() == content


@pytest.mark.parametrize("is_flag", [True, False], ids=["--offline", "HF_HUB_OFFLINE"])
@pytest.mark.parametrize(
    "arguments",
    [
        ["weights", "pull", NAME],
        ["weights", "path", NAME],
        ["upscale", "in.mp4", "out.mp4", *PLAIN, "--weights", NAME],
        ["eval", "frames", *PLAIN, "--weights", NAME],
        ["train", "--stage", "spatial", "--spatial", "espcn", "--init", NAME, *TRAINING],
    ],
    ids=lambda arguments: "-".join(arguments[:2]),
)
def test_offline_without_a_cached_file(hub_fails, hub, commit, make_clip, arguments, is_flag):
    make_clip("in.mp4", num_frames=4, width=192, height=192)
    write_frames(Path(make_clip("x.mp4")).parent / "frames" / "city")
    extra, env = (["--offline"], {}) if is_flag else ([], {"HF_HUB_OFFLINE": "1"})
    said = hub_fails(WEIGHTS, *arguments, *extra, env=env)
    assert f"stsr weights pull {NAME}" in said
    assert "--offline" in said
    assert hub.log == []


def write_frames(folder: Path) -> None:
    """Three small PNGs, as `stsr eval` reads them."""
    import av
    import numpy as np

    folder.mkdir(parents=True)
    for index in range(3):
        with av.open(str(folder / f"{index}.png"), "w", format="image2") as container:
            stream = container.add_stream("png")
            stream.width, stream.height, stream.pix_fmt = 32, 32, "rgb24"
            frame = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
            container.mux(stream.encode(None))


def test_two_processes_want_the_same_file(hub, hub_environment, commit, content, cache):
    hub.body_seconds = 1.0
    command = [str(Path(sys.executable).with_name("stsr")), "weights", "path", NAME]
    environment = {**os.environ, **hub_environment}
    both = [
        subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    for process in both:
        stdout, stderr = process.communicate(timeout=120)
        assert (process.returncode, stderr) == (0, "")
        assert Path(stdout.strip()).read_bytes() == content
    assert blobs(cache) == [digest(content)]
    assert hub.bodies() == 1


def test_no_weights_are_published_for_a_module(hub_fails, make_clip, tmp_path):
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "manifest.json").write_text("{}")
    arguments = ["upscale", make_clip("in.mp4"), "out.mp4", *PLAIN]
    said = hub_fails(WEIGHTS, *arguments, weights_folder=tmp_path / "none")
    for word in ("published no weights", "'espcn'", "weights convert CHECKPOINT --arch espcn"):
        assert word in said
    assert "stsr train --stage spatial --spatial espcn" in said
