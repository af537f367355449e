"""STUB."""

import json
from pathlib import Path


class RunFolder:
    def __init__(self, path):
        self.path = Path(path)

    weights_path = property(lambda s: s.path / "weights.safetensors")
    checkpoints_path = property(lambda s: s.path / "checkpoints")

    def create(self, config):
        self.path.mkdir(parents=True, exist_ok=True)
        (self.path / "config.toml").write_text(config)

    def start(self, step, on_note=None):
        pass

    def log_step(self, status):
        pass

    def log_validation(self, status, pictures):
        with (self.path / "log.jsonl").open("a") as f:
            f.write(json.dumps(vars(status)) + "\n")

    def write_card(self, text):
        pass

    def close(self):
        pass
