"""The rules that keep the code readable, as tests: who imports whom, what serving never loads."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MAY_IMPORT: dict[str, set[str]] = {
    "model": set(),
    "assistant": {"model"},
    "lsp": {"assistant"},
    "training": {"assistant", "model"},
}
TORCH_MODULES = {"model/gpt.py", "model/runtime_torch.py", "model/device.py"}
UNSAFE_MODULES = {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60

# Spelt in pieces, so that this file does not hold what it forbids.
REGISTRY_HOSTS = [r"py" + r"pi\.org", r"python" + r"hosted", r"npm" + r"js\.(org|com)"]
REGISTRY_HOSTS += [r"deb" + r"\.debian\.", r"crates" + r"\.io"]
MACHINE_PATHS = [r"/" + r"work/", r"/" + r"opt/ft\b", r"/" + r"root/\.", r"/" + r"farm/"]
MACHINE_PATHS += [r"/" + r"tmp/[a-z]+/", r"/" + r"home/(?!user/|you/)[a-z]+/"]


def sources(*packages: str) -> list[Path]:
    return sorted(path for package in packages for path in (ROOT / package).rglob("*.py"))


PRODUCT = [ROOT / "foretype.py", *sources(*MAY_IMPORT)]
ALL_PYTHON = [*PRODUCT, *sources("scripts", "tests", "docs")]


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def imported(nodes: Iterator[ast.AST]) -> set[str]:
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


def test_launcher_imports_our_packages_lazily() -> None:
    at_import = imported(iter(tree(ROOT / "foretype.py").body))
    assert not at_import & MAY_IMPORT.keys()


@pytest.mark.parametrize("path", [p for p in PRODUCT if "training" not in p.parts], ids=name)
def test_serving_module_leaves_torch_alone(path: Path) -> None:
    if name(path) not in TORCH_MODULES:
        assert "torch" not in imported(ast.walk(tree(path)))


@pytest.mark.parametrize("path", PRODUCT, ids=name)
def test_only_the_git_module_runs_git(path: Path) -> None:
    if name(path) == "assistant/git.py":
        return
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.List | ast.Tuple) and node.elts and calls_git(node.elts[0]):
            pytest.fail(f"{name(path)}:{node.lineno} runs git; use assistant.git")
        if isinstance(node, ast.Call) and any(
            isinstance(item, ast.Constant) and str(item.value).startswith("git ")
            for item in node.args[:1]
            if is_process_call(node)
        ):
            pytest.fail(f"{name(path)}:{node.lineno} runs git; use assistant.git")


def calls_git(item: ast.expr) -> bool:
    return isinstance(item, ast.Constant) and item.value == "git"


def is_process_call(node: ast.Call) -> bool:
    called = ast.unparse(node.func)
    return called.startswith("subprocess.") or called in {"os.system", "os.popen"}


@pytest.mark.parametrize("path", ALL_PYTHON, ids=name)
def test_file_is_documented_and_short(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MAX_FILE_LINES
    if "samples" not in path.parts and "data" not in path.parts[len(ROOT.parts) + 1 :]:
        assert ast.get_docstring(tree(path)), f"{name(path)} has no module docstring"


@pytest.mark.parametrize("path", PRODUCT, ids=name)
def test_functions_are_one_step_each(path: Path) -> None:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            assert lines <= MAX_FUNCTION_LINES, f"{name(path)}: {node.name} has {lines} lines"


@pytest.mark.parametrize("path", sources("assistant", "lsp", "model"), ids=name)
def test_serving_loads_no_code_from_data(path: Path) -> None:
    module = tree(path)
    assert not imported(ast.walk(module)) & UNSAFE_MODULES
    for node in ast.walk(module):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in {"torch.load", "eval", "exec"}, f"{called} at line {node.lineno}"
            assert not any(
                key.arg == "allow_pickle" and ast.unparse(key.value) != "False"
                for key in node.keywords
            ), f"allow_pickle at line {node.lineno}"


@pytest.mark.parametrize("path", PRODUCT, ids=name)
def test_module_does_not_hide_a_standard_one(path: Path) -> None:
    # A script run by path puts its folder first on sys.path.
    assert path.stem.startswith("__") or path.stem not in sys.stdlib_module_names


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


def test_git_ignores_no_file_of_the_packages() -> None:
    # hatchling leaves ignored files out of the wheel without a word.
    tracked_files()
    listing = subprocess.run(
        ["git", "ls-files", "--others", "--ignored", "--exclude-standard", *MAY_IMPORT],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
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
    run = subprocess.run(
        [sys.executable, "-c", program, *modules], cwd=ROOT, capture_output=True, text=True
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
