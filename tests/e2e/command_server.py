"""Runs `stsr` as often as it is asked to, in forks of a process that has imported torch: seconds become tenths.

One JSON object a line comes in: arguments, env, cwd, stdout, stderr (files), perhaps stdin (another), and
weights_folder, which stands in for the folder of the embedded weights. The exit code goes out. The Hub's client is
imported after the fork, with its `env`.
"""

import importlib
import json
import os
import sys
import traceback
from pathlib import Path

import torch

from stsr_cli import hub
from stsr_cli.cli import main
from stsr_cli.registry import build

# What the commands import inside; to build a module as load_weights does, torch imports even more.
for part in ("publish", "upscale", "evaluation", "training.loop", "console"):
    importlib.import_module(f"stsr_cli.{part}")
with torch.device("meta"):
    build("spatial", "espcn")
assert "huggingface_hub" not in sys.modules


def run(request):
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    if request.get("stdin") is not None:
        os.dup2(os.open(request["stdin"], os.O_RDONLY), 0)
    for number, name in ((1, "stdout"), (2, "stderr")):
        file = os.open(request[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, number)
    if request["weights_folder"] is not None:
        hub.weights_folder = lambda: Path(request["weights_folder"])
    sys.argv = ["stsr", *request["arguments"]]
    main()


for line in sys.stdin:
    child = os.fork()
    if child == 0:
        code = 0
        try:
            run(json.loads(line))
        except SystemExit as error:
            code = error.code or 0
        except BaseException:
            traceback.print_exc()
            code = 1
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)  # without the second that torch takes to go
    _, status = os.waitpid(child, 0)
    print(os.waitstatus_to_exitcode(status), flush=True)
