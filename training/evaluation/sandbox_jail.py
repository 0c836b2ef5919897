"""The jail: a process that sees the standard library, an empty folder and nothing else.

Called from inside fresh Linux namespaces, where a mount is nobody else's business. Standard library
only. Knows nothing of what will run in it.
"""

# pathlib takes long to import.
# ruff: noqa: PTH102, PTH103, PTH110, PTH112, PTH114, PTH115, PTH120, PTH211
from __future__ import annotations

import ctypes
import errno
import os
import resource
import struct
import sys
from typing import Any

NOBODY = 65534
STAGE = "/proc"  # a folder that is everywhere; the jail is built over it, in our mounts only
OLD_ROOT, JAIL = STAGE + "/old", STAGE + "/jail"
SYSTEM_LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64")
WORK_FOLDER = "/tmp"  # noqa: S108  the jail's own, and nobody else's
WORK_OPTIONS = b"size=8m,nr_inodes=256,mode=1777"

# From <sys/mount.h>, <linux/mount.h>, <linux/prctl.h>, <linux/seccomp.h> and <linux/audit.h>.
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_REMOUNT, MS_BIND, MS_REC = 1, 2, 4, 32, 4096, 16384
MNT_DETACH = 2
SYS_MOUNT_SETATTR, AT_FDCWD, AT_RECURSIVE = 442, -100, 0x8000  # one number on all processors
ATTR_RDONLY, ATTR_NOSUID, ATTR_NODEV = 1, 2, 4
PR_SET_SECCOMP, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 22, 24, 38
SECCOMP_MODE_FILTER = 2
SECCOMP_KILL, SECCOMP_ERRNO, SECCOMP_ALLOW = 0x8000_0000, 0x0005_0000, 0x7FFF_0000
LOAD, JUMP_EQUAL, JUMP_NOT_LESS, RETURN = 0x20, 0x15, 0x35, 0x06
FIRST_X32_CALL = 0x4000_0000  # a second table of the same calls on x86_64
CAPABILITY_VERSION_3 = 0x20080522
N_CAPABILITY = 64
RLIMIT_MSGQUEUE = 12  # the resource module lacks it

# What code that computes has no use for: new processes and programs, sockets, other processes,
# mounts and namespaces, memory that outlives its process and so escapes the limits, and the
# kernel's larger machines. processor -> (audit number, call -> number)
REFUSED_CALLS: dict[str, tuple[int, dict[str, int]]] = {
    "x86_64": (
        0xC000_003E,
        {
            "fork": 57, "vfork": 58, "clone": 56, "clone3": 435, "execve": 59, "execveat": 322,
            "socket": 41, "ptrace": 101, "process_vm_readv": 310, "process_vm_writev": 311,
            "mount": 165, "umount2": 166, "pivot_root": 155, "chroot": 161, "unshare": 272,
            "setns": 308, "shmget": 29, "semget": 64, "msgget": 68, "mq_open": 240,
            "memfd_create": 319, "add_key": 248, "request_key": 249, "keyctl": 250, "bpf": 321,
            "perf_event_open": 298, "userfaultfd": 323, "io_uring_setup": 425,
        },
    ),
    "aarch64": (
        0xC000_00B7,
        {
            "clone": 220, "clone3": 435, "execve": 221, "execveat": 281,
            "socket": 198, "ptrace": 117, "process_vm_readv": 270, "process_vm_writev": 271,
            "mount": 40, "umount2": 39, "pivot_root": 41, "chroot": 51, "unshare": 97,
            "setns": 268, "shmget": 194, "semget": 190, "msgget": 186, "mq_open": 180,
            "memfd_create": 279, "add_key": 217, "request_key": 218, "keyctl": 219, "bpf": 280,
            "perf_event_open": 241, "userfaultfd": 282, "io_uring_setup": 425,
        },
    ),
}  # fmt: skip


def build_jail() -> None:
    """Make a root of the interpreter's libraries, read-only, and an empty work folder; enter it."""
    if os.getpid() != 1:  # these are the mounts of the machine: leave them alone
        raise OSError(errno.EPERM, "the process is not in namespaces of its own")
    libraries = [f"{sys.base_prefix}/lib", os.path.dirname(os.__file__), *SYSTEM_LIBRARIES]
    _mount(b"tmpfs", STAGE, b"tmpfs", MS_NOSUID | MS_NODEV, b"size=1m,mode=755")
    os.mkdir(OLD_ROOT)
    for path in libraries:
        _show(path)
    os.mkdir(JAIL + WORK_FOLDER)
    _mount(b"tmpfs", JAIL + WORK_FOLDER, b"tmpfs", MS_NOSUID | MS_NODEV, WORK_OPTIONS)
    _libc_call("pivot_root", STAGE.encode(), OLD_ROOT.encode())
    _libc_call("umount2", b"/old", MNT_DETACH)
    _mount(b"", "/", b"", MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV, b"")
    os.chroot("/jail")  # inside a chroot no user namespace can be made, hence no rights regained
    os.chdir(WORK_FOLDER)


def _show(path: str) -> None:
    """Make `path` readable in the jail, at the same place."""
    place = JAIL + path
    if os.path.exists(place) or not os.path.isdir(path):
        return
    os.makedirs(os.path.dirname(place), exist_ok=True)
    if os.path.islink(path):  # /lib -> usr/lib
        os.symlink(os.readlink(path), place)
        return
    os.mkdir(place)
    _mount(path.encode(), place, b"", MS_BIND | MS_REC, b"")
    attributes = (ctypes.c_uint64 * 4)(ATTR_RDONLY | ATTR_NOSUID | ATTR_NODEV, 0, 0, 0)
    target = (AT_FDCWD, place.encode(), AT_RECURSIVE)
    _libc_call("syscall", SYS_MOUNT_SETATTR, *target, attributes, ctypes.sizeof(attributes))


def _mount(source: bytes, target: str, kind: bytes, flags: int, options: bytes) -> None:
    _libc_call("mount", source, target.encode(), kind, ctypes.c_ulong(flags), options)


def _libc_call(name: str, *arguments: Any) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}{arguments}: {os.strerror(number)}")


def set_limits(limits: dict[str, int]) -> None:
    """Lower the limits of this process for good."""
    kinds = {
        resource.RLIMIT_AS: limits["memory_bytes"],
        resource.RLIMIT_CPU: limits["cpu_s"],
        resource.RLIMIT_NPROC: limits["n_process"],
        resource.RLIMIT_NOFILE: limits["n_file"],
        resource.RLIMIT_FSIZE: limits["file_bytes"],
        resource.RLIMIT_CORE: 0,
    }
    if sys.platform == "linux":
        kinds |= {RLIMIT_MSGQUEUE: 0, resource.RLIMIT_MEMLOCK: 0}
    for kind, wanted in kinds.items():
        hard = resource.getrlimit(kind)[1]
        value = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(kind, (value, value))


def give_up_rights(becomes_nobody: bool) -> None:
    """Drop every capability, and the means to get one back."""
    libc = ctypes.CDLL(None, use_errno=True)
    for capability in range(N_CAPABILITY):
        libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)  # fails beyond the kernel's last one
    if becomes_nobody:  # a real root: limits on processes do not count for it
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    _libc_call("capset", header, (ctypes.c_uint32 * 6)())
    _libc_call("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _refuse_calls()


def _refuse_calls() -> None:
    """Let the kernel answer "not permitted" to every call in the table of this processor."""
    machine = os.uname().machine
    if machine not in REFUSED_CALLS:
        raise OSError(errno.ENOSYS, f"no table of system calls for the processor {machine}")
    audit, calls = REFUSED_CALLS[machine]
    steps = [
        (LOAD, 0, 0, 4),  # the table that the call's number belongs to
        (JUMP_EQUAL, 1, 0, audit),
        (RETURN, 0, 0, SECCOMP_KILL),
        (LOAD, 0, 0, 0),  # the number; each match jumps to the last step
        (JUMP_NOT_LESS, len(calls) + 1, 0, FIRST_X32_CALL),
    ]
    for left, number in zip(range(len(calls), 0, -1), calls.values(), strict=True):
        steps.append((JUMP_EQUAL, left, 0, number))
    steps += [(RETURN, 0, 0, SECCOMP_ALLOW), (RETURN, 0, 0, SECCOMP_ERRNO | errno.EPERM)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in steps))
    program = struct.pack("@HP", len(steps), ctypes.addressof(code))
    _libc_call("prctl", PR_SET_SECCOMP, SECCOMP_MODE_FILTER, program, 0, 0)
