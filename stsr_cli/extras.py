"""What to install for what is optional: the command that does it, in a checkout and from an index alike."""

import re
import sys
from importlib.metadata import PackageNotFoundError, requires

from stsr_cli.text import command_line


def install_command(extra: str) -> str:
    """The command that installs what an extra of stsr needs into this Python.

    It names the packages themselves: `stsr-cli[EXTRA]` would be asked of an index, and a checkout may be of no index.
    """
    try:
        lines = requires("stsr-cli") or []
    except PackageNotFoundError:  # run from a folder that is not installed
        lines = []
    asked = re.compile(rf"""extra\s*==\s*['"]{extra}['"]""")
    packages = [line.partition(";")[0].strip() for line in lines if asked.search(line)]
    packages = packages or [f"stsr-cli[{extra}]"]
    return command_line([sys.executable, "-m", "pip", "install", *packages])
