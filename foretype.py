"""The `foretype` command: one name, a few subcommands, each imported only when it is asked for.

Users' repositories very often hold folders called `model` or `training`, or a stray `tokenize.py`.
So before anything else is imported, the working directory and what PYTHONPATH names leave the
import path, here and for child processes: a command started in such a repository runs our code.
"""

# ruff: noqa: PTH119, PTH120, PTH123  (pathlib would be one more import before the path is clean)
import os
import sys

TYPE_CHECKING = False  # that of `typing`, whose import takes time
if TYPE_CHECKING:
    from collections.abc import Callable

HERE = os.path.dirname(os.path.realpath(__file__))
INTERRUPTED = 130

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # for child processes; `model` says why
# Windows would run a repository's own git.exe, when we are started there, before the real one.
os.environ["NoDefaultCurrentDirectoryInExePath"] = "1"

# name -> (module, one line of help); each module has `main(argv) -> int`
COMMANDS = {
    "complete": ("assistant.cli.complete", "print the suggestion at FILE:LINE:COL"),
    "why": ("assistant.cli.complete", "say how the suggestion at FILE:LINE:COL came about"),
    "egress": ("assistant.cli.egress", "show what left for a remote server, or would"),
    "lsp": ("lsp.__main__", "serve editors over the Language Server Protocol"),
    "index": ("assistant.cli.index", "look at, build or delete the index of a repository"),
    "serve": ("assistant.cli.serve", "serve a model to a small team over HTTP, in OpenAI's form"),
    "models": ("assistant.cli.models", "list your own models, choose which one serves where"),
    "eval": ("training.evaluation.replay.cli", "replay a repository's own later commits"),
    "tune": ("training.finetune.cli", "tune a model on your own repository, kept if it is better"),
    "setup": ("assistant.cli.setup", "make an editor start foretype: show the lines or write them"),
    "stats": ("assistant.cli.stats", "show what was suggested lately and what became of it"),
    "doctor": ("assistant.cli.doctor", "check the installation, say how faults are mended"),
    "completions": ("assistant.cli.completions", "make a shell complete these commands"),
    "purge": ("assistant.cli.purge", "remove every cache, index, log and statistic"),
    "data": ("training.cli", "build a corpus from repositories and folders"),
    "train": ("training.cli", "train a model from a recipe"),
}
# old words -> what they are now; understood until OLD_NAMES_END, with a line that says so
RENAMED = {
    "memory": "index",
    "plan": "train plan",
    "train eval": "train score",
    "train eval-infilling": "train score-infilling",
}
# words -> what answers to them: it needs the `train` extra, which the rest of the command does not
ELSEWHERE = {"models fit": "train fit"}
OLD_NAMES_END = "0.3"
_AS_TEXT = "the report is on the terminal, and --json FILE holds every figure"
_KEPT_OUT = "`data prepare` keeps what shares words with [corpus] benchmarks out of the corpus"
# words and option of before -> what is there instead
_LEDGER = "delete the file egress.sqlite (docs/remote.md), or let `foretype purge` do it"
REMOVED = {
    "egress --clear": _LEDGER,
    "egress --yes": _LEDGER,
    "lsp --allow-remote": "--tcp listens on this machine only; reach it from another by `ssh -L`",
    "train score-infilling --unsandboxed": "where there is no bubblewrap, code runs without it",
    "train score-infilling --corpus": _KEPT_OUT,
    "train score-infilling --run-tokens": _KEPT_OUT,
    "data pack --spans": "the kinds of holes have fixed shares",
    "eval --html": _AS_TEXT,
    "eval --jedi": "the baseline is the longest match",
    "eval --gguf": "list the file by `foretype models add` and give its name as --model",
    "tune --nightly": "plain `foretype tune` ends at once if no commit is new, else it tunes anew",
    "tune --html": _AS_TEXT,
}
# Not part of a serving installation.
_TRAINING_EXTRA = frozenset({"torch", "tokenizers", "safetensors", "rensa"})
_TAKES_NAME = frozenset({"training.cli", "assistant.cli.complete"})  # several commands each


def main(argv: list[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    try:
        open_standard_streams()
        leave_user_code_out()
        code = dispatch(sys.argv[1:] if argv is None else argv)
        print(end="", flush=True)
    except KeyboardInterrupt:
        return INTERRUPTED
    except OSError as error:  # of the output: the commands see to all others
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # Python flushes once more on exit
        from assistant.cli.command import is_closed_pipe

        if is_closed_pipe(error):  # whoever read it has seen enough
            return 0
        print(f"foretype: cannot write the output: {error.strerror}", file=sys.stderr)
        return 1
    return code


def open_standard_streams() -> None:
    """Let those that were closed lead nowhere.

    Else the next file that is opened has their number, and what we say is written into it.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # gets the lowest number
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "w" if number else "r", encoding="utf-8"))


def leave_user_code_out() -> None:
    """Take the working directory and PYTHONPATH off the import path, and what came from there."""
    if HERE not in sys.path:  # `python -I` leaves out the script's own folder
        sys.path.insert(0, HERE)
    named = os.environ.pop("PYTHONPATH", "").split(os.pathsep)
    unwanted = {os.path.realpath(entry) for entry in (*named, os.curdir)}
    if sys.argv and sys.argv[0]:  # Python puts the script's own folder first
        unwanted.add(os.path.dirname(os.path.realpath(sys.argv[0])))
    unwanted = {folder for folder in unwanted if not _is_ours(folder)}
    sys.path[:] = [entry for entry in sys.path if os.path.realpath(entry) not in unwanted]
    for name, module in list(sys.modules.items()):
        if name != "__main__" and _folder_of(module) in unwanted:
            del sys.modules[name]  # start-up met it before us; the real one is imported when needed


def _is_ours(folder: str) -> bool:
    """Say whether imports may come from here: our own, the standard library, installed packages."""
    standard = os.path.dirname(os.path.realpath(os.__file__))
    name = os.path.basename(folder)
    return folder in (HERE, standard) or name in ("site-packages", "dist-packages", "lib-dynload")


def _folder_of(module: object) -> str:
    """Return the import path entry that a module came from, "" for built-in ones."""
    file = getattr(module, "__file__", None)
    if not isinstance(file, str):
        return ""
    folder = os.path.dirname(os.path.realpath(file))
    is_package = os.path.basename(file).startswith("__init__.")
    return os.path.dirname(folder) if is_package else folder


def dispatch(argv: list[str]) -> int:
    """Run the command that `argv` begins with; return the exit code."""
    argv = _replace_old_name(argv)
    if moved := ELSEWHERE.get(" ".join(argv[:2])):
        argv = [*moved.split(), *argv[2:]]
    for words, instead in REMOVED.items():
        *names, option = words.split()
        given = (argument.partition("=")[0] for argument in argv)
        if argv[: len(names)] == names and option in given:
            print(f"foretype {' '.join(names)}: {option} is gone: {instead}", file=sys.stderr)
            return 2
    command = argv[0] if argv else ""
    if command in ("", "-h", "--help", "help"):
        print(_help())
        return 0
    if command in ("-V", "--version"):
        print(f"foretype {_version()}")
        return 0
    if command not in COMMANDS:
        print(f"foretype: unknown command {command!r}{_suggest(command)}", file=sys.stderr)
        return 2
    if command == "complete" and "--warm" in argv:
        from assistant.warm import ask

        if (code := ask(argv[1:])) is not None:
            return code
    module, _ = COMMANDS[command]
    return _run(command, module, argv if module in _TAKES_NAME else argv[1:])


def _suggest(command: str) -> str:
    import difflib

    nearest = difflib.get_close_matches(command, COMMANDS, n=1)
    return f"; did you mean {nearest[0]!r}?" if nearest else "; see foretype --help"


def _replace_old_name(argv: list[str]) -> list[str]:
    for n_words in (2, 1):
        old = " ".join(argv[:n_words])
        if new := RENAMED.get(old):
            line = f"foretype {old} is now foretype {new}; the old name goes away in"
            print(line, OLD_NAMES_END, file=sys.stderr)
            return [*new.split(), *argv[n_words:]]
    return argv


def _run(command: str, module: str, argv: list[str]) -> int:
    import importlib
    import subprocess

    try:
        entry: Callable[..., int] = importlib.import_module(module).main
        if command == "lsp":  # whose output is no text
            return entry(argv)
        from assistant.cli.command import plain_output

        with plain_output():
            return entry(argv, COMMANDS) if command == "completions" else entry(argv)
    except ModuleNotFoundError as error:
        if error.name not in _TRAINING_EXTRA:
            raise
        missing = error
    from training.cli import offer_to_install

    if not offer_to_install(command, str(missing.name)):
        return 3
    # In a fresh process: what is imported here may just have been replaced.
    words = argv if module in _TAKES_NAME else [command, *argv]
    return subprocess.call([sys.executable, os.path.realpath(__file__), *words])  # noqa: S603


def _help() -> str:
    lines = ["usage: foretype COMMAND ...", "", "Inline code completion on your own machine.", ""]
    lines += [f"  {name:<11} {text}" for name, (_, text) in COMMANDS.items()]
    lines += ["", "  --version   print the version", "  COMMAND --help  say more about one command"]
    return "\n".join(lines)


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("foretype")
    except PackageNotFoundError:
        return "(not installed)"


if __name__ == "__main__":
    sys.exit(main())
