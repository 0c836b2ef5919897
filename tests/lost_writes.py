"""What a folder may hold after the power went: records what a program does to it, and replays that.

A program runs under strace. What it wrote is on the disk for certain only once it was synced: a
file's content by syncing the file, its name by syncing its folder. The rest may be there, be lost,
be cut, or be there without what was done before it. Calls of native libraries are seen, too.
"""

import os
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from tests.programs import ROOT

_CALLS = (
    "open openat creat write pwrite64 writev pwritev ftruncate truncate fallocate fsync fdatasync"
    " close rename renameat renameat2 mkdir mkdirat unlink unlinkat rmdir link linkat symlink"
    " symlinkat sendfile copy_file_range dup dup2 dup3 fcntl lseek mmap"
).split()
_LINE = re.compile(r"(?P<pid>\d+) +(?P<name>\w+)\((?P<rest>.*)\) += (?P<result>-?\d+|0x[0-9a-f]+)")
_UNFINISHED = re.compile(r"(\d+) +(.*) <unfinished \.\.\.>")
_RESUMED = re.compile(r"(\d+) +<\.\.\. \w+ resumed>(.*)")
_SECTOR = 512


class Operation(NamedTuple):
    """One change; `nodes` are those whose sync makes it last."""

    kind: str  # write, truncate, name, forget, move, sync
    nodes: tuple[int, ...]
    name: str = ""
    other: str = ""  # the new name
    node: int = 0  # that gets a name
    offset: int = 0
    data: bytes = b""


@dataclass
class Open:
    """What a descriptor stands for."""

    node: int
    path: str
    position: int = 0
    appends: bool = False


@dataclass
class Disk:
    """Files and folders by number; 0 is the folder that is watched."""

    files: dict[int, bytearray] = field(default_factory=dict)
    folders: dict[int, dict[str, int]] = field(default_factory=lambda: {0: {}})

    @classmethod
    def read(cls, place: Path) -> "Disk":
        disk = cls()
        disk._read(place, 0)
        return disk

    def _read(self, place: Path, into: int) -> None:
        for path in sorted(place.iterdir()):
            node = self.new(is_folder=path.is_dir())
            self.folders[into][path.name] = node
            if path.is_dir():
                self._read(path, node)
            else:
                self.files[node][:] = path.read_bytes()

    def new(self, *, is_folder: bool) -> int:
        node = len(self.files) + len(self.folders)
        if is_folder:
            self.folders[node] = {}
        else:
            self.files[node] = bytearray()
        return node

    def copy(self) -> "Disk":
        files = {node: bytearray(data) for node, data in self.files.items()}
        return Disk(files, {node: dict(names) for node, names in self.folders.items()})

    def find(self, parts: list[str]) -> int | None:
        node: int | None = 0
        for part in parts:
            node = self.folders.get(node, {}).get(part) if node is not None else None
        return node

    def apply(self, step: Operation, n_kept: int | None = None) -> None:
        """Do a step; of a write only `n_kept` bytes."""
        folder = self.folders.get(step.nodes[0], {})
        if step.kind == "write":
            content = self.files[step.nodes[0]]
            data = step.data[:n_kept]
            content.extend(bytes(max(0, step.offset - len(content))))
            content[step.offset : step.offset + len(data)] = data
        elif step.kind == "truncate":
            content = self.files[step.nodes[0]]
            content.extend(bytes(max(0, step.offset - len(content))))
            del content[step.offset :]
        elif step.kind == "name":
            folder[step.name] = step.node
        elif step.kind == "forget":
            folder.pop(step.name, None)
        elif step.kind == "move":
            folder.pop(step.name, None)
            self.folders[step.nodes[1]][step.other] = step.node

    def write(self, place: Path, node: int = 0) -> None:
        """Make the files and folders that can be reached by names."""
        place.mkdir(mode=0o700)
        for name, inner in self.folders[node].items():
            if inner in self.folders:
                self.write(place / name, inner)
            else:
                (place / name).touch(0o600)
                (place / name).write_bytes(self.files[inner])

    def tree(self, node: int = 0) -> dict[str, object]:
        names = self.folders[node].items()
        return {
            name: self.tree(inner) if inner in self.folders else bytes(self.files[inner])
            for name, inner in names
        }


class Recording:
    """What a program did to a folder, and what that may have left at each moment."""

    def __init__(self, folder: Path, command: list[str]) -> None:
        """Run the command; its changes of `folder` are recorded and stay."""
        self.before = Disk.read(folder)
        self.steps: list[Operation] = []
        self._folder = os.fspath(folder)
        self._disk = self.before.copy()
        self._open: dict[int, Open] = {}
        log = folder.with_name(f"{folder.name}.strace")
        options = ["-f", "-qq", "-xx", "-s", str(1 << 25), "--seccomp-bpf", "-e", "signal=none"]
        options += ["-e", f"trace={','.join(_CALLS)}", "-o", str(log)]
        subprocess.run(["strace", *options, *command], cwd=ROOT, check=True, timeout=240)
        for name, arguments, result in _calls(log):
            self._take(name, arguments, result)
        log.unlink()
        assert self._disk.tree() == Disk.read(folder).tree(), "not all was recorded"

    def states(self, dice: random.Random, n_each: int) -> Iterator[Disk]:
        """Yield what may be there when it ends after each step: all, what is certain, and mixes."""
        for n_done in range(len(self.steps) + 1):
            for way in ("all", "certain", *["mix"] * n_each):
                yield self._state(n_done, way, dice)

    def after(self) -> Disk:
        """Return what is certain once the program has ended."""
        return self._state(len(self.steps), "certain", random.Random(0))

    def _state(self, n_done: int, way: str, dice: random.Random) -> Disk:
        state, done = self._all_nodes(), self.steps[:n_done]
        synced: dict[int, int] = {}
        for at, step in enumerate(done):
            if step.kind == "sync":
                synced[step.nodes[0]] = at
        for at, step in enumerate(done):
            is_certain = any(synced.get(node, -1) > at for node in step.nodes)
            if is_certain or way == "all":
                state.apply(step)
            elif way == "mix" and dice.random() < 0.6:
                n_sectors = dice.randrange(len(step.data) // _SECTOR + 1)
                is_cut = step.kind == "write" and dice.random() < 0.3
                state.apply(step, n_sectors * _SECTOR if is_cut else None)
        return state

    def _all_nodes(self) -> Disk:
        state = self.before.copy()
        for node in self._disk.files:
            state.files.setdefault(node, bytearray())
        for node in self._disk.folders:
            state.folders.setdefault(node, {})
        return state

    def _do(self, *step: object, **more: object) -> None:
        self.steps.append(Operation(*step, **more))  # type: ignore[arg-type]
        self._disk.apply(self.steps[-1])

    def _parts(self, base: str, path: str) -> list[str] | None:
        """Return the names that lead to a path in the folder; None if it is elsewhere."""
        if not path.startswith("/") and base.isdigit():
            if int(base) not in self._open:
                return None
            path = f"{self._open[int(base)].path}/{path}"
        if path != self._folder and not path.startswith(self._folder + "/"):
            return None
        return [part for part in path[len(self._folder) :].split("/") if part]

    def _take(self, name: str, arguments: list[str], result: int) -> None:
        if name in ("openat", "unlinkat", "mkdirat"):
            self._by_path(name.removesuffix("at"), result, *arguments)
        elif name in ("open", "creat", "unlink", "rmdir", "mkdir"):
            self._by_path(name, result, "", *arguments)
        elif name == "rename":
            self._rename("", arguments[0], "", arguments[1])
        elif name in ("renameat", "renameat2"):
            self._rename(*arguments[:4])
        elif name in ("link", "linkat", "symlink", "symlinkat", "truncate"):
            paths = [text for text in arguments if text.startswith("/")]
            assert not any(self._parts("", path) for path in paths), f"{name} is not understood"
        elif (opened := self._open.get(int(arguments[0]) if arguments[0].isdigit() else -1)) or (
            name in ("mmap", "copy_file_range", "sendfile")
        ):
            self._use(name, arguments, result, opened)

    def _by_path(self, name: str, result: int, base: str, path: str, *more: str) -> None:
        """Follow what is done with a name."""
        parts = self._parts(base, path)
        if name in ("open", "creat"):
            self._open.pop(result, None)  # a close that was not seen
            if parts is not None:
                self._opened(result, parts, more[0] if name == "open" else "O_CREAT|O_TRUNC")
        elif parts and name == "mkdir":
            node = self._disk.new(is_folder=True)
            self._do("name", (self._parent(parts),), parts[-1], node=node)
        elif parts:
            self._do("forget", (self._parent(parts),), parts[-1])

    def _opened(self, result: int, parts: list[str], flags: str) -> None:
        node = self._disk.find(parts)
        if node is None:
            assert "O_CREAT" in flags, parts
            node = self._disk.new(is_folder=False)
            self._do("name", (self._parent(parts),), parts[-1], node=node)
        elif "O_TRUNC" in flags and self._disk.files[node]:
            self._do("truncate", (node,), offset=0)
        place = "/".join([self._folder, *parts])
        self._open[result] = Open(node, place, appends="O_APPEND" in flags)

    def _use(self, name: str, arguments: list[str], result: int, opened: Open | None) -> None:
        """Follow what is done with a descriptor."""
        if name == "mmap":
            is_ours = arguments[4].isdigit() and int(arguments[4]) in self._open
            is_written = "PROT_WRITE" in arguments[2] and "MAP_SHARED" in arguments[3]
            assert not (is_ours and is_written), "a mapping that is written to is not understood"
        elif name in ("copy_file_range", "sendfile"):
            target = arguments[2] if name == "copy_file_range" else arguments[0]
            assert not target.isdigit() or int(target) not in self._open, f"{name}: not understood"
        elif opened is None:
            return
        elif name in ("write", "pwrite64"):
            is_plain = name == "write"
            end = len(self._disk.files[opened.node])
            at = (end if opened.appends else opened.position) if is_plain else int(arguments[3])
            data = arguments[1].encode("latin-1")[:result]
            self._do("write", (opened.node,), offset=at, data=data)
            opened.position = at + result if is_plain else opened.position
        elif name == "ftruncate":
            self._do("truncate", (opened.node,), offset=int(arguments[1]))
        elif name in ("fsync", "fdatasync"):
            self._do("sync", (opened.node,))
        elif name == "lseek":
            opened.position = result
        elif name == "close":
            del self._open[int(arguments[0])]
        elif name.startswith("dup") or (name == "fcntl" and "F_DUPFD" in arguments[1]):
            self._open[result] = opened
        else:
            assert name == "fcntl", f"{name} is not understood"

    def _rename(self, base: str, path: str, new_base: str, new_path: str) -> None:
        old, new = self._parts(base, path), self._parts(new_base, new_path)
        assert (old is None) == (new is None), "moved in or out of the folder"
        if old and new:
            node = self._disk.find(old)
            assert node is not None
            parents = (self._parent(old), self._parent(new))
            self._do("move", parents, old[-1], new[-1], node)

    def _parent(self, parts: list[str]) -> int:
        node = self._disk.find(parts[:-1])
        assert node is not None
        return node


def _calls(log: Path) -> Iterator[tuple[str, list[str], int]]:
    """Yield the calls that succeeded: name, arguments, result."""
    begun: dict[str, str] = {}
    for line in log.read_text("latin-1").splitlines():
        if match := _UNFINISHED.fullmatch(line):
            begun[match[1]] = f"{match[1]} {match[2]}"
            continue
        if match := _RESUMED.fullmatch(line):
            line = begun.pop(match[1]) + match[2]
        found = _LINE.match(line)
        if found and not found["result"].startswith("-"):
            arguments = [_text(text) for text in re.split(r", (?=\S)", found["rest"])]
            yield found["name"], arguments, int(found["result"], 0)


def _text(argument: str) -> str:
    """Return a string's bytes as characters, and all else as it is."""
    if argument.startswith('"'):
        return bytes.fromhex(argument.strip('"').replace("\\x", "")).decode("latin-1")
    return argument


def recorded(folder: Path, action: str) -> Recording:
    """Record one of `tests.durable_actions`."""
    return Recording(folder, [sys.executable, "-m", "tests.durable_actions", action, str(folder)])
