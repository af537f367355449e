"""What an error message advises is tried: commands and options that messages name are collected, and run."""

import ast
import functools
import http.server
import re
import shlex
import shutil
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

import stsr_cli
from stsr_cli.cli import main

PLAIN = ["--spatial", "bicubic", "--temporal", "blend", "-q"]
_COMMAND = re.compile(r"(?:did you mean|write|such as): (stsr .*)$", re.MULTILINE)
# Options of other programs that messages name.
_OF_OTHERS = {"--no-deps", "--index-url", "--extra-index-url"}


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(main, [*arguments], prog_name="stsr")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_clip: Callable[..., Path]) -> Path:
    """A folder to be in, with two clips and one whose name has a space."""
    monkeypatch.chdir(tmp_path)
    make_clip("a.mp4", num_frames=3)
    for name in ("b.mp4", "my clip.mp4"):
        shutil.copy("a.mp4", name)
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        ("a.mp4", "stsr upscale a.mp4 a_4x.mp4"),
        ("'my clip.mp4'", "stsr upscale 'my clip.mp4' 'my clip_4x.mp4'"),
        ("a.mp4 out.mkv", "stsr upscale a.mp4 out.mkv"),
        ("upscale a.mp4", "stsr upscale a.mp4 a_4x.mp4"),
        ("upscael a.mp4 out.mp4", "stsr upscale a.mp4 out.mp4"),
        ("prob a.mp4", "stsr probe a.mp4"),
        ("preview a.mp4", "stsr upscale a.mp4 a_4x.mp4 --preview 2"),
    ],
)
def test_the_command_that_was_meant_is_named_and_works(arguments: str, meant: str) -> None:
    refused = run(*shlex.split(arguments))
    assert refused.exit_code == 2
    assert _COMMAND.findall(refused.stderr) == [meant]
    words = shlex.split(meant)[1:]
    again = run(*words, *(PLAIN if words[0] == "upscale" else []))
    assert again.exit_code == 0, again.stderr


@pytest.mark.parametrize(
    ("words", "option"),
    [
        ("help", "--help"),
        ("help eval", "eval --help"),
        ("help weights list", "weights list --help"),
    ],
)
def test_help_is_a_word_too(words: str, option: str) -> None:
    told = run(*words.split())
    assert (told.exit_code, told.stderr) == (0, "")
    assert told.stdout == run(*option.split()).stdout


def test_version_is_a_word_too() -> None:
    assert run("version").stdout == run("--version").stdout != ""
    refused = run("help", "frobnicate")
    assert (refused.exit_code, len(refused.stderr.splitlines())) == (2, 1)


def test_a_second_input_that_is_taken_for_the_output_is_refused() -> None:
    refused = run("upscale", "a.mp4", "b.mp4")
    assert refused.exit_code == 2
    assert "b.mp4 exists and is OUTPUT, the last argument; -y replaces it" in refused.stderr
    refused = run("upscale", "a.mp4", "-o", "b.mp4")
    assert "b.mp4 exists and is OUTPUT; -y" in refused.stderr
    assert run("upscale", "a.mp4", "b.mp4", "out/", *PLAIN).exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ("-i a.mp4 out.mp4", 2, "INPUT is named without it"),
        ("a.mp4 out.mp4 --width 1920", 2, "--size 1920x1080, or --height 1080"),
        ("a.mp4 out.mp4 --output x.mp4", 2, "OUTPUT was named twice: out.mp4 and x.mp4"),
        ("out.mp4 b.mp4", 4, "no such file: out.mp4; b.mp4 is there: INPUT comes first, as in: "),
        ("https://a.b/c.mp4 b.mp4", 4, "or allow an address with --allow-protocols https"),
        ("a.mp4 out.mp4 --weights span+rfe", 5, "did you mean 'span+rife'?"),
        ("a.mp4 out.mp4 --weights bad.safetensors", 5, "bad.safetensors: the file is damaged"),
    ],
)
def test_what_was_meant_is_said(arguments: str, code: int, said: str, folder: Path) -> None:
    (folder / "bad.safetensors").write_text("x")
    refused = run("upscale", *arguments.split())
    assert refused.exit_code == code
    assert said in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    assert not (folder / "out.mp4").exists()


@pytest.mark.parametrize("name", ["h264", "x264", "h265", "x265", "H265"])
def test_a_codec_by_its_usual_name(name: str) -> None:
    made = run("upscale", "a.mp4", "out.mp4", *PLAIN, "--codec", name)
    assert made.exit_code == 0, made.stderr


def test_a_word_like_no_command_is_answered_with_the_list() -> None:
    refused = run("frobnicate")
    assert refused.exit_code == 2
    assert "stsr --help lists them" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        ("upscale a.mp4 b.mp4", "-y"),
        ("probe a.mp4 out.mp4 --no-trial --size 1080", "--size 1920x1080"),
        ("probe a.mp4 out.mp4 --no-trial --scale 2.5", "--height 1080"),
        ("probe a.mp4 out.mp4 --no-trial --scale 2.5", "--size 1920x1080"),
        ("upscale a.mp4 out.mp4 --time-scale 1 --disagreement d.csv", "--time-scale 2"),
        ("upscale list.ffconcat out.mp4", "--allow-protocols file"),
        ("eval a.mp4 --csv rows.csv --system baseline --spatial bicubic --temporal blend", "-y"),
        ("eval a.mp4 --html rows.csv --system baseline --spatial bicubic --temporal blend", "-y"),
    ],
)
def test_the_option_that_is_advised_works(arguments: str, advice: str, folder: Path) -> None:
    (folder / "rows.csv").write_text("precious")
    (folder / "list.ffconcat").write_text(f"ffconcat version 1.0\nfile '{folder / 'a.mp4'}'\n")
    words = [*shlex.split(arguments), *(PLAIN if arguments.startswith("upscale") else [])]
    refused = run(*words)
    assert refused.exit_code in (2, 4)
    assert advice.split()[-1] in refused.stderr
    assert advice.split()[0] in refused.stderr
    assert (folder / "rows.csv").read_text() == "precious"
    name, *value = advice.split()
    if name in words:  # the value was wrong
        del words[words.index(name) : words.index(name) + 2]
    if "2.5" in words:
        del words[words.index("--scale") : words.index("--scale") + 2]
    again = run(*words, name, *value)
    assert again.exit_code == 0, again.stderr


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A key, and a certificate that it signed itself."""
    path = tmp_path / "server.pem"
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl on the PATH; there is none")
    command = f"openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 -keyout {path} -out {path}.crt"
    subprocess.run(command.split(), check=True, capture_output=True)
    path.write_text(path.read_text() + Path(f"{path}.crt").read_text())
    return path


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@pytest.fixture
def served(folder: Path) -> Iterator[Callable[[Path | None], str]]:
    """Serve the folder, encrypted with a certificate or in the clear; returns the address."""
    servers: list[http.server.ThreadingHTTPServer] = []

    def serve(certificate: Path | None) -> str:
        handler = functools.partial(_Quiet, directory=str(folder))
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http{'s' if certificate else ''}://127.0.0.1:{server.server_port}"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("is_encrypted", [False, True], ids=["http", "https"])
def test_the_protocol_that_is_advised_is_all_that_an_address_needs(
    is_encrypted: bool, served: Callable[[Path | None], str], request: pytest.FixtureRequest
) -> None:
    address = served(request.getfixturevalue("certificate") if is_encrypted else None)
    words = ["upscale", f"{address}/a.mp4", "out.mp4", *PLAIN]
    refused = run(*words)
    assert refused.exit_code == 4
    assert f"{address}/a.mp4" in refused.stderr
    (advice,) = re.findall(r"--allow-protocols \S+", refused.stderr)
    again = run(*words, *advice.split())
    assert again.exit_code == 0, again.stderr


def _commands(group: click.Group, *names: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield (*names, name), command
        if isinstance(command, click.Group):
            yield from _commands(command, *names, name)


def _texts() -> Iterator[tuple[str, str]]:
    """Every text in the package that is no docstring, with its place; what is filled into it is left out."""
    for path in sorted(Path(stsr_cli.__file__).parent.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        docs = {
            id(node.body[0].value)
            for node in ast.walk(tree)
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
            and node.body
            and isinstance(node.body[0], ast.Expr)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr):
                parts = [p.value if isinstance(p, ast.Constant) else "\0" for p in node.values]
                yield f"{path.name}:{node.lineno}", "".join(parts)
            elif id(node) not in docs and isinstance(getattr(node, "value", None), str):
                yield f"{path.name}:{node.lineno}", node.value


def test_every_command_and_option_that_a_message_names_is_there() -> None:
    commands = dict(_commands(main))
    options = {
        name
        for command in (main, *commands.values())
        for parameter in command.params
        for name in (*parameter.opts, *parameter.secondary_opts)
    } | {"--help", "--version"}
    wrong = []
    num_found = 0
    for place, text in _texts():
        for option in re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*[a-z0-9](?![\w\0-])", text):
            num_found += 1
            if option not in options | _OF_OTHERS:
                wrong.append(f"{place}: {option}")
        for first, second in re.findall(r"\bstsr ([a-z]+)(?: ([a-z]+))?", text):
            named = (first, second) if first == "weights" and second else (first,)
            quoted = f"`stsr {first}" in text or f": stsr {first}" in text or f"({first}" in text
            num_found += quoted
            if quoted and named not in commands:
                wrong.append(f"{place}: stsr {' '.join(named)}")
    assert num_found > 100
    assert wrong == []
