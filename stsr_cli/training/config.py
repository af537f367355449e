"""A run's options as plain values and as the TOML that `--config` reads again."""

from pathlib import Path
from typing import Any

from stsr_cli.errors import StsrError
from stsr_cli.extras import install_command
from stsr_cli.options import TrainOptions

# How a run was started, not what it is.
_NOT_OF_THE_RUN = {"resume", "overwrite"}


def as_values(options: TrainOptions) -> dict[str, Any]:
    """Every option of a run, the recipe's fields among them; paths absolute, so that the place does not matter."""
    values = {**vars(options), **vars(options.recipe)}
    del values["recipe"]
    values["init"] = tuple(Path(name) if Path(name).is_file() else name for name in values["init"])
    return {name: _plain(value) for name, value in values.items() if name not in _NOT_OF_THE_RUN}


def as_toml(options: TrainOptions) -> str:
    """The same as TOML; what is None is left out."""
    try:
        import tomli_w
    except ImportError as error:
        raise StsrError(
            f"training needs more packages ({error}): {install_command('train')}"
        ) from error
    return tomli_w.dumps(
        {name: value for name, value in as_values(options).items() if value is not None}
    )


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value.absolute())
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value
