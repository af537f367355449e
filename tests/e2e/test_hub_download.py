"""`--weights hf:...` with the real Hub client, against a server on this machine that speaks the Hub's file protocol."""

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch

from stsr_cli.checkpoint import Weights, save_weights
from stsr_cli.registry import build

COMMIT = "a" * 40


@pytest.fixture
def weights_bytes(tmp_path: Path) -> bytes:
    torch.manual_seed(1)
    path = tmp_path / "made.safetensors"
    save_weights(path, Weights(spatial=build("spatial", "espcn", {"num_channels": 8})))
    return path.read_bytes()


@pytest.fixture
def hub(weights_bytes: bytes) -> Iterator[str]:
    """Serve someone/pair at its main revision; anything else is a 404."""

    class Handler(BaseHTTPRequestHandler):
        def _answer(self, *, has_body: bool) -> None:
            is_known = self.path.split("?")[0] == "/someone/pair/resolve/main/espcn.safetensors"
            content = weights_bytes if is_known else b""
            self.send_response(200 if is_known else 404)
            if is_known:
                self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
                self.send_header("X-Repo-Commit", COMMIT)
            else:
                self.send_header("X-Error-Code", "EntryNotFound")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if has_body:
                self.wfile.write(content)

        def do_HEAD(self) -> None:
            self._answer(has_body=False)

        def do_GET(self) -> None:
            self._answer(has_body=True)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_weights_from_the_hub_are_fetched_once_and_then_need_no_network(
    run_stsr, make_clip, hub, tmp_path
) -> None:
    clip = make_clip("in.mp4", num_frames=2, width=32, height=32)
    arguments = ["upscale", clip, "--spatial", "espcn", "--temporal", "blend"]
    name = "hf:someone/pair:espcn.safetensors"
    online = {"HF_ENDPOINT": hub, "HF_HUB_OFFLINE": "0", "HF_HOME": str(tmp_path / "hf")}
    first = run_stsr(*arguments, tmp_path / "a.mp4", "--weights", name, env=online)
    assert first.returncode == 0, first.stderr
    offline = {**online, "HF_HUB_OFFLINE": "1", "HF_ENDPOINT": "http://127.0.0.1:9"}
    again = run_stsr(*arguments, tmp_path / "b.mp4", "--weights", name, env=offline)
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("hf:someone/pair:other.safetensors", "cannot fetch"),
        ("hf:someone/pair", "is not hf:OWNER/REPO"),
        ("hf:someone/pair:weights.bin", "is not hf:OWNER/REPO"),
    ],
)
def test_a_name_the_hub_does_not_hold_is_one_clear_line(
    run_stsr, make_clip, hub, tmp_path, name, said
) -> None:
    clip = make_clip("in.mp4", num_frames=2, width=32, height=32)
    env = {"HF_ENDPOINT": hub, "HF_HUB_OFFLINE": "0", "HF_HOME": str(tmp_path / "hf")}
    arguments = ["--spatial", "espcn", "--temporal", "blend", "--weights", name]
    run = run_stsr("upscale", clip, tmp_path / "out.mp4", *arguments, env=env)
    assert run.returncode == 5
    assert said in run.stderr
    assert len(run.stderr.strip().splitlines()) == 1, run.stderr
    assert not (tmp_path / "out.mp4").exists()
