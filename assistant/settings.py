"""Settings: few, each with a reason to be changed; read once, then frozen.

Order: defaults < settings.toml < environment < what the caller passes (a command line, an editor's
options). Names are the same everywhere. Unknown keys are errors that name the known ones.
"""

import contextlib
import dataclasses
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

from assistant.errors import SettingsError
from assistant.path_patterns import find_mistake
from model.config import ConfigError, from_table
from model.files import MissingFileError, UnreadableFileError, parse_toml, read_regular
from model.paths import config_folder

T = TypeVar("T")
Origin = Literal["user", "workspace"]
MAX_FILE_BYTES = 1 << 20  # of settings
OLD_NAMES_END = "0.3"  # the version
MULTI_LINE = ("auto", "never")  # never: one line, even where the cursor opens a block
SCOPES = ("code", "comment", "docstring", "string")  # what a cursor may be in
SHOW = ("off", "quiet", "balanced", "eager")  # the stricter first

log = logging.getLogger(__name__)

# A workspace is data from strangers: it chooses no weights, no files, and takes no CPU time.
_RUN_OPTIONS = ("threads", "gpu_layers", "flash_attention", "kv_cache")
_USER_ONLY = frozenset({"model", "log_file", *_RUN_OPTIONS})
_ADDED_TO = frozenset({"exclude", "silent_in"})
# old name -> name; an old one still counts where the new one is not set
RENAMED = {"memory": "index", "memory_mb": "index_mb", "memory_dependencies": "index_dependencies"}
# environment variable -> setting; only what is worth changing for one run
_ENVIRONMENT = {
    "FORETYPE_MODEL": "model",
    "FORETYPE_DEADLINE_MS": "deadline_ms",
    "FORETYPE_THREADS": "threads",
    "FORETYPE_LOG_FILE": "log_file",
}


def limited(default: Any, **limits: Any) -> Any:
    """Return a field: a number with a `range`, `known` texts, or path `patterns`."""
    return dataclasses.field(default=default, metadata=limits)


def find_mistakes(settings: Any) -> Iterator[str]:
    """Yield what is wrong with the fields that have limits."""
    for each in dataclasses.fields(settings):
        name, value, limits = each.name, getattr(settings, each.name), each.metadata
        low, high = limits.get("range", (value, value))
        if not low <= value <= high:
            yield f"{name} must be in {low:g}..{high:g}, got {value!s:.80}"
        values = value if isinstance(value, tuple) else (value,)
        for item in values if "known" in limits else ():
            if item not in limits["known"]:
                yield f"{name}: {item!r} is none of {', '.join(filter(None, limits['known']))}"
        for mistake in map(find_mistake, values) if "patterns" in limits else ():
            if mistake:
                yield f"{name}: {mistake}"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """What a user may change."""

    enabled: bool = True  # off: nothing is ever suggested
    model: str = ""  # a model folder; empty: the one that came with the package
    multi_line: str = limited("auto", known=MULTI_LINE)
    show: str = limited("balanced", known=SHOW)  # how sure a suggestion must be
    index: bool = True  # also suggest lines that the repository holds already
    index_mb: int = limited(512, range=(1, 65_536))  # largest size of a repository's index on disk
    index_dependencies: bool = False  # also index the installed packages that it imports
    snippets: bool = True  # show the network code of other files, if it was trained on that
    max_new_tokens: int = limited(64, range=(1, 512))  # taken from the room for context, too
    deadline_ms: int = limited(600, range=(1, 600_000))  # what is valid by then is shown
    threads: int = limited(1, range=(1, 256))  # more helps only on an otherwise idle machine
    gpu_layers: int = limited(0, range=(0, 1_000))  # of a model of others, on the GPU
    flash_attention: bool = False  # of a GGUF file; ends the process on some processors
    kv_cache: str = limited("f16", known=("f16", "q8_0"))  # of a GGUF file, per value
    exclude: tuple[str, ...] = limited((), patterns=True)  # never completed, as are built-in ones
    silent_in: tuple[str, ...] = limited((), known=SCOPES)  # nothing is suggested there
    allow_remote: bool = True  # false: ask no server, whatever remote.toml says
    next_edit: bool = True  # offer to repeat the last edit where it is due
    statistics: bool = True  # count on this machine what became of suggestions
    menu_completion: bool = False  # also answer textDocument/completion, for menu-only editors
    log_file: str = ""  # empty: standard error

    def __post_init__(self) -> None:
        if mistake := next(find_mistakes(self), ""):
            raise SettingsError(mistake)

    @property
    def run_options(self) -> dict[str, Any]:
        """How a network is run: what `model.runtime.open_runtime` takes."""
        return {name: getattr(self, name) for name in _RUN_OPTIONS}


def settings_from(
    table: Mapping[str, Any], *, origin: Origin = "user", base: Settings | None = None
) -> Settings:
    """Return `base` (default: the defaults) changed by `table`; SettingsError names the wrong key.

    `exclude` and `silent_in` are added to, never replaced. From a workspace, settings can only
    restrict: what names files is refused, and the rest can switch off or lower but not switch on
    or raise.
    """
    base = base or Settings()
    table = replace_old_names(table, lambda _, line: log.warning("%s", line))
    if origin == "workspace" and (refused := sorted(table.keys() & _USER_ONLY)):
        raise SettingsError(
            f"setting {refused[0]} is not read from a workspace; set it in your own settings"
        )
    try:
        asked = from_table(Settings, table)
    except ConfigError as error:
        raise SettingsError(str(error)) from error
    changes = {name: getattr(asked, name) for name in table}
    for name in changes.keys() & _ADDED_TO:
        changes[name] = tuple(dict.fromkeys((*getattr(base, name), *getattr(asked, name))))
    if origin == "workspace":
        changes = {name: _stricter(name, getattr(base, name), new) for name, new in changes.items()}
    return dataclasses.replace(base, **changes)


def replace_old_names(
    table: Mapping[str, Any], warn: Callable[[str, str], None]
) -> Mapping[str, Any]:
    """Return settings by today's names; `warn` gets each old name and a line that says so."""
    renamed = {}
    for old in sorted(table.keys() & RENAMED.keys()):
        renamed[RENAMED[old]] = table[old]
        line = f"setting {old} is now {RENAMED[old]}; the old name goes away in {OLD_NAMES_END}"
        warn(old, line)
    return renamed | {name: value for name, value in table.items() if name not in RENAMED}


def _stricter(name: str, current: Any, asked: Any) -> Any:
    if name in _ADDED_TO:
        return asked  # already the union
    if name == "multi_line":
        return "never" if "never" in (current, asked) else current
    if name == "show":
        return min(current, asked, key=SHOW.index)
    return min(current, asked)  # booleans too: False is the smaller


def settings_path() -> Path:
    """Return where the user's settings file is looked for; it need not exist."""
    return config_folder() / "settings.toml"


def load_settings(
    overrides: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None
) -> Settings:
    """Read all layers; SettingsError names the file or variable, and the key."""
    environ = os.environ if environ is None else environ
    settings = read_settings(settings_path(), settings_from)
    for variable, name in _ENVIRONMENT.items():
        if text := environ.get(variable, ""):
            try:
                value = int(text) if isinstance(getattr(settings, name), int) else text
                settings = settings_from({name: value}, base=settings)
            except SettingsError as error:
                raise SettingsError(f"{variable}: {error}") from error
            except ValueError:
                raise SettingsError(f"{variable}: a whole number is needed, got {text!r}") from None
    return settings_from(overrides or {}, base=settings)


def usable_settings() -> Settings:
    """Return what can be used of the user's file where something in it is wrong.

    Nothing is indexed or sent then: the mistake may be in what was to be excluded.
    """
    settings, table = Settings(), dict[str, Any]()
    with contextlib.suppress(SettingsError):
        table = read_settings(settings_path(), dict)
    for name, value in replace_old_names(table, lambda *_: None).items():
        with contextlib.suppress(SettingsError):
            settings = settings_from({name: value}, base=settings)
    return hold_back(settings)


def hold_back(settings: Settings) -> Settings:
    """Return settings with which no file is indexed and none is sent."""
    return dataclasses.replace(settings, index=False, allow_remote=False)


def read_settings(path: Path, build: Callable[[Mapping[str, Any]], T]) -> T:
    """Return what `build` makes of a TOML file, of an empty table if there is none.

    SettingsError names the file and what is wrong in it.
    """
    try:
        return build(parse_toml(read_regular(path, MAX_FILE_BYTES).decode("utf-8-sig")))
    except MissingFileError:
        return build({})
    except UnreadableFileError as error:
        raise SettingsError(str(error)) from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path} is not UTF-8 text; save it as such") from error
    except ValueError as error:  # not TOML, or a SettingsError
        raise SettingsError(f"{path}: {error}") from error
