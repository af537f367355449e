"""Started with every Python that has this folder on its PYTHONPATH: Windows, if SIMULATE_WINDOWS is 1."""

import os

if os.environ.get("SIMULATE_WINDOWS") == "1":
    import simulated_windows

    simulated_windows.install()
