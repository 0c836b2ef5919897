"""The rules that keep the code readable, as tests: who imports whom, what serving never loads."""

import ast
import functools
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path
from types import FrameType
from typing import TypeGuard

import pytest

from assistant.generate.engine import Engine
from assistant.index.folder_index import FolderIndex
from assistant.request import CompletionRequest
from assistant.settings import Settings
from tests.doubles import tiny_folder
from tests.programs import ROOT, run_program

MAY_IMPORT: dict[str, set[str]] = {
    "model": set(),
    "assistant": {"model"},
    "lsp": {"assistant"},
    "training": {"assistant", "model"},
}
# Inside `assistant` a folder imports only what stands before it; "" is the modules beside them.
LAYERS = ["", "source", "privacy", "edits", "index", "snippets", "rank", "filter", "generate"]
LAYERS += ["remote", "models", "serve", "setup", "doctor", "cli"]
TORCH_MODULES = {"model/gpt.py", "model/runtime_torch.py", "model/device.py"}
UNSAFE_MODULES = {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 50
MAX_REQUEST_FILES = 14  # that a completion request is handed to

# Spelt in pieces, so that this file does not hold what it forbids.
REGISTRY_HOSTS = [r"py" + r"pi\.org", r"python" + r"hosted", r"npm" + r"js\.(org|com)"]
REGISTRY_HOSTS += [r"deb" + r"\.debian\.", r"crates" + r"\.io"]
MACHINE_PATHS = [r"/" + r"work/", r"/" + r"opt/ft\b", r"/" + r"root/\.", r"/" + r"farm/"]
MACHINE_PATHS += [r"/" + r"tmp/[a-z]+/"]


def sources(*packages: str) -> list[Path]:
    return sorted(path for package in packages for path in (ROOT / package).rglob("*.py"))


PRODUCT = [ROOT / "foretype.py", *sources(*MAY_IMPORT)]
ALL_PYTHON = [*PRODUCT, *sources("scripts", "tests", "docs")]


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@functools.cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def imported(nodes: Iterable[ast.AST]) -> set[str]:
    """Top-level names of everything that these nodes import."""
    names = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module.partition(".")[0])
    return names


def tracked_files() -> list[Path]:
    try:
        listing = subprocess.run(
            ["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this is not a git checkout")
    paths = [ROOT / item for item in listing.decode().split("\0") if item]
    return [path for path in paths if path.is_file()]


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_package_imports_only_what_it_may(package: str) -> None:
    for path in sources(package):
        foreign = imported(ast.walk(tree(path))) & {*MAY_IMPORT, "foretype", "tests", "scripts"}
        extra = foreign - MAY_IMPORT[package] - {package}
        assert not extra, f"{name(path)} imports {sorted(extra)}"


def folder_of(module: str) -> str:
    """Return the folder of `assistant` that a module's dotted name lies in."""
    part = module.split(".")[1]
    return part if (ROOT / "assistant" / part).is_dir() else ""


def assistant_modules(path: Path) -> set[str]:
    """Dotted names of the modules of `assistant` that a file imports, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module == "assistant":
            names |= {f"assistant.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return {item for item in names if item.startswith("assistant.")}


def test_folders_of_assistant_import_only_what_stands_before_them() -> None:
    assert {
        folder.name for folder in (ROOT / "assistant").iterdir() if list(folder.glob("*.py"))
    } == {*LAYERS} - {""}
    wrong = [
        f"{name(path)} imports {module}"
        for path in sources("assistant")
        if path.name != "__init__.py"
        for module in assistant_modules(path)
        if LAYERS.index(folder_of(module))
        > LAYERS.index(folder_of(name(path).removesuffix(".py").replace("/", ".")))
    ]
    assert wrong == []


def test_launcher_imports_our_packages_lazily() -> None:
    at_import = imported(tree(ROOT / "foretype.py").body)
    assert not at_import & MAY_IMPORT.keys()


def test_serving_modules_leave_torch_alone() -> None:
    serving = [path for path in PRODUCT if "training" not in path.parts]
    using = {name(path) for path in serving if "torch" in imported(ast.walk(tree(path)))}
    assert using <= TORCH_MODULES


def test_only_the_runtime_imports_onnxruntime() -> None:
    """Its package switches the library's telemetry off first; so nothing else may bring it in."""
    named = {
        name(path)
        for path in [*ALL_PYTHON, *sources("editors")]
        for node in ast.walk(tree(path))
        if "onnxruntime" in imported([node]) or is_import_by_name(node, "onnxruntime")
    }
    assert named == {"model/runtime_onnx.py"}


def is_import_by_name(node: ast.AST, module: str) -> bool:
    """`import_module("module")` and the like."""
    if not (isinstance(node, ast.Call) and node.args and is_text(node.args[0], module)):
        return False
    return ast.unparse(node.func).endswith(("import_module", "__import__", "importorskip"))


def test_only_the_git_module_runs_git() -> None:
    running = {
        f"{name(path)}:{node.lineno}"
        for path in PRODUCT
        for node in ast.walk(tree(path))
        if name(path) != "assistant/git.py" and is_git_command(node)
    }
    assert running == set()


@pytest.mark.parametrize(
    ("code", "runs_git"),
    [
        ('run(["git", "log"])', True),
        ('subprocess.run("git log", shell=True)', True),
        ('os.system("git log")', True),
        ('print("git is missing")', False),
        ('run(["tar", "git"])', False),
    ],
)
def test_git_commands_are_recognised(code: str, runs_git: bool) -> None:
    assert any(is_git_command(node) for node in ast.walk(ast.parse(code))) is runs_git


def is_git_command(node: ast.AST) -> TypeGuard[ast.expr]:
    """["git", ...] as a program's arguments, or a command line of the kind."""
    if isinstance(node, ast.List | ast.Tuple):
        return bool(node.elts) and is_text(node.elts[0], "git")
    if isinstance(node, ast.Call) and node.args and is_text(node.args[0], "git "):
        called = ast.unparse(node.func)
        return called.startswith("subprocess.") or called in {"os.system", "os.popen"}
    return False


def is_text(node: ast.expr, start: str) -> bool:
    if not (isinstance(node, ast.Constant) and isinstance(node.value, str)):
        return False
    return node.value == start or (start.endswith(" ") and node.value.startswith(start))


def test_files_are_short() -> None:
    lines = {name(path): len(path.read_text(encoding="utf-8").splitlines()) for path in ALL_PYTHON}
    assert {path: count for path, count in lines.items() if count > MAX_FILE_LINES} == {}


def test_modules_say_what_they_are_for() -> None:
    modules = [*PRODUCT, *sources("scripts")]
    assert [name(path) for path in modules if not ast.get_docstring(tree(path))] == []


def test_functions_are_one_step_each() -> None:
    lengths = {
        f"{name(path)}: {node.name}": (node.end_lineno or node.lineno) - node.lineno + 1
        for path in PRODUCT
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert {item: count for item, count in lengths.items() if count > MAX_FUNCTION_LINES} == {}


def test_a_request_is_handed_to_few_files(tmp_path: Path, shared_cache: Path) -> None:
    """Whoever follows one sees so many; what computes with texts and numbers never meets it."""
    index = FolderIndex()
    index.set_open("b.py", "def f(values):\n    return sorted(values)\n")
    engine = Engine(Settings(model=str(tiny_folder(tmp_path))), index=lambda _: index)
    engine.load()
    text = "def g(values):\n    return so"
    request = CompletionRequest(path="a.py", text=text, offset=len(text), deadline_ms=60_000)
    stays: list[str] = []

    def follow(frame: FrameType, event: str, _: object) -> None:
        path = Path(frame.f_code.co_filename)
        if event == "call" and path.is_relative_to(ROOT) and path != Path(__file__):
            values = frame.f_locals.values()
            held = (getattr(value, "request", value) for value in values)
            if any(value is request for value in held):
                stays.extend([name(path)] * (name(path) not in stays[-1:]))

    sys.setprofile(follow)
    try:
        assert engine.complete(request)
    finally:
        sys.setprofile(None)
    engine.close(1.0)
    assert len(set(stays)) <= MAX_REQUEST_FILES, stays


def test_serving_loads_no_code_from_data() -> None:
    serving = sources("assistant", "lsp", "model")
    assert [name(p) for p in serving if imported(ast.walk(tree(p))) & UNSAFE_MODULES] == []
    unsafe = [
        f"{name(path)}:{node.lineno}"
        for path in serving
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call) and is_unsafe_call(node)
    ]
    assert unsafe == []


def is_unsafe_call(node: ast.Call) -> bool:
    pickles = any(
        item.arg == "allow_pickle" and ast.unparse(item.value) != "False" for item in node.keywords
    )
    return pickles or ast.unparse(node.func) in {"torch.load", "eval", "exec"}


def test_modules_do_not_hide_standard_ones() -> None:
    # A script run by path puts its folder first on sys.path.
    hiding = {path.stem for path in PRODUCT} & sys.stdlib_module_names
    assert hiding - {"__init__", "__main__"} == set()


def test_no_machine_path_or_registry_host_is_tracked() -> None:
    forbidden = re.compile("|".join(MACHINE_PATHS + REGISTRY_HOSTS))
    found = []
    for path in tracked_files():
        data = path.read_bytes()
        if b"\0" in data[:8192] or len(data) > 1_000_000:
            continue
        for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), 1):
            if match := forbidden.search(line):
                found.append(f"{name(path)}:{number}: {match.group()}")
    assert found == []


def test_every_dependency_is_declared_and_used() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    names = {name: extras[name] for name in ("train", "cluster", "remote", "serve")} | {
        "base": project["dependencies"]
    }
    declared = {
        extra: {re.split(r"[^\w-]", line)[0].replace("-", "_") for line in lines}
        for extra, lines in names.items()
    }
    used = imported(node for path in PRODUCT for node in ast.walk(tree(path)))
    used |= grammars_loaded_by_name()
    third_party = used - sys.stdlib_module_names - MAY_IMPORT.keys() - {"__future__"}
    bindings = {"ik_llama_cpp"}  # of the extra `gguf`, under another name than its package's
    assert third_party == set().union(*declared.values()) | bindings
    served = imported(
        node
        for path in PRODUCT
        if "training" not in path.parts and name(path) not in TORCH_MODULES
        for node in ast.walk(tree(path))
    )
    assert not served & declared["train"]


def grammars_loaded_by_name() -> set[str]:
    """Grammars are imported by a name in a table, when a language is first met."""
    text = (ROOT / "assistant" / "source" / "languages.py").read_text(encoding="utf-8")
    return set(re.findall(r"\btree_sitter_[a-z]+\b", text))


def test_git_ignores_no_file_of_the_packages() -> None:
    # hatchling leaves ignored files out of the wheel without a word.
    tracked_files()
    listing = run_program(
        ["git", "ls-files", "--others", "--ignored", "--exclude-standard", *MAY_IMPORT], check=True
    ).stdout
    assert [line for line in listing.splitlines() if "__pycache__" not in line] == []


def test_serving_modules_import_silently_and_without_torch() -> None:
    modules = [
        name(path).removesuffix(".py").replace("/", ".").removesuffix(".__init__")
        for path in sources("model", "assistant", "lsp")
        if name(path) not in TORCH_MODULES and path.stem != "__main__"
    ]
    program = (
        "import importlib, sys, threading\n"
        "for item in sys.argv[1:]: importlib.import_module(item)\n"
        "assert threading.active_count() == 1, threading.enumerate()\n"
        "sys.exit('torch was imported' if 'torch' in sys.modules else 0)\n"
    )
    run = run_program([sys.executable, "-c", program, *modules])
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
