"""What a person sees of a training run, rendered to text."""

import io
import itertools
import re
import time

import pytest
from rich.console import Console

from stsr_cli.console import TrainConsole
from stsr_cli.console import training as console_module
from stsr_cli.training.status import StepStatus, TrainStatus

STAGES = [("t2s", "s2t"), ("spatial",), ("temporal_lr", "temporal_hr"), ("given", "new")]
JOINT_LOSSES = {"loss": 0.0123, "reconstruction": 0.01, "consistency": 0.0046, "given": 0.002}


def step_status(step=41, progress=0.25, losses=JOINT_LOSSES):
    return StepStatus(step, progress, 30.0, losses, 1e-3, 0.5)


def train_status(names=("t2s", "s2t"), losses=JOINT_LOSSES, is_best=True):
    psnr = {name: 27.0 + index for index, name in enumerate(names)}
    return TrainStatus(40, 29.9, 0.25, losses, psnr, dict.fromkeys(names, 25.5), is_best)


def rendered(use, width=100, is_terminal=True):
    """What `use(console)` writes, without control sequences, line by line."""
    file = io.StringIO()
    rich_console = Console(
        file=file,
        width=width,
        force_terminal=is_terminal,
        force_interactive=is_terminal,
        _environ={"TERM": "xterm"},
    )
    with TrainConsole(rich_console) as console:
        use(console)
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", file.getvalue())
    return [line for line in re.split(r"[\r\n]+", text) if line.strip()]


@pytest.fixture
def every_step(monkeypatch):
    """Draw at every step."""
    monkeypatch.setattr(console_module, "_REDRAW_SECONDS", 0)


@pytest.mark.parametrize("is_terminal", [True, False])
@pytest.mark.parametrize("names", STAGES)
def test_a_run_of_every_stage(names, is_terminal, every_step):
    losses = JOINT_LOSSES if "t2s" in names else {"loss": 0.0123}

    def use(console):
        for num_done in range(1, 4):
            console.on_source(num_done, 3)
        console.on_start(dict.fromkeys(names, 25.5))
        console.on_step(step_status(losses=losses))
        console.on_status(train_status(names, losses))
        console.on_step(step_status(42, losses=losses))
        console.on_note("the disk is [full]")

    lines = rendered(use, is_terminal=is_terminal)
    text = "\n".join(lines)
    live = [line for line in lines if line.endswith(" left")]
    assert len(live) == 0 if not is_terminal else len(live) >= 2
    assert all(len(line) <= 100 for line in live)
    assert re.search(r"bicubic \+ blend on the held-out split: \S.* 25\.50 dB", text)
    assert re.search(r"step     40    29\.9 min \( 25%\)  loss 0\.01230 .*27\.00 dB.*saved", text)
    assert "note: the disk is [full]" in text
    assert not re.search(r"t2s|s2t|temporal_|reconstruction", text), "names for people"


@pytest.mark.parametrize(
    ("width", "parts"),
    [
        (130, "step 41|loss 0.0123|L_R 0.01|L_C 0.0046|T->S 27.00 +1.50|S->T 28.00 +2.50"),
        (100, "loss 0.0123|L_R 0.01|L_C 0.0046|T->S 27.00 +1.50|S->T 28.00 +2.50"),
        (80, "loss 0.0123|T->S 27.00 +1.50|S->T 28.00 +2.50"),
        (40, "loss 0.0123"),
    ],
)
def test_the_live_line_shows_what_has_room(width, parts, every_step):
    def use(console):
        console.on_status(train_status())
        console.on_step(step_status())

    live = [line for line in rendered(use, width) if line.endswith(" left")][-1]
    assert len(live) <= width
    for part in ["25 %", *parts.split("|"), "1:30:00 left"]:
        assert part in live


@pytest.mark.parametrize(
    ("progress", "expected"),
    [(0.0, "--:-- left"), (0.5, "30:00 left"), (0.25, "1:30:00 left"), (1.0, "00:00 left")],
)
def test_time_left_follows_the_share_that_is_done(progress, expected, every_step):
    lines = rendered(lambda console: console.on_step(step_status(progress=progress)))
    assert lines[-1].endswith(f" {expected}")


def test_a_step_without_a_loss_and_a_validation_without_samples(every_step):
    def use(console):
        console.on_start({})
        console.on_status(train_status(names=(), losses={}, is_best=False))
        console.on_step(step_status(losses={}))

    lines = rendered(use)
    assert len([line for line in lines if "dB" in line]) == 0
    assert "saved" not in "".join(lines)


def test_the_line_is_drawn_seldom(monkeypatch):
    """A thousand steps of a millisecond are a second: five drawings, and next to nothing in between."""
    clock = itertools.count(0, 0.001)
    monkeypatch.setattr(console_module.time, "monotonic", lambda: next(clock))
    drawn = []

    def use(console):
        monkeypatch.setattr(console, "_live_text", lambda status: drawn.append(status) or "")
        for step in range(1000):
            console.on_step(step_status(step))

    rendered(use)
    assert 3 <= len(drawn) <= 5


def test_steps_cost_little():
    """Processor time of this thread, the best of three, so that a loaded machine is no failure."""
    status, num_steps = step_status(), 2000
    seconds = []

    def use(console):
        for _ in range(3):
            before = time.thread_time()
            for _ in range(num_steps):
                console.on_step(status)
            seconds.append(time.thread_time() - before)

    rendered(use)
    assert min(seconds) / num_steps < 1e-4
