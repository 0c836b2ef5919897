# Sourced by the other scripts: private virtual environments under .venv/.
#
#   ensure_environment NAME EXTRAS   makes .venv/NAME with foretype[EXTRAS] installed in place
#   ensure_tools NAME PACKAGE...     makes .venv/NAME with these packages of others, without foretype
#
# Safe to run again: nothing is done when the stamp, written last, matches the package's description,
# constraints.txt, the interpreter and the place of the checkout. An interrupted run leaves no
# stamp, so the next one starts that environment afresh.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# Without compiled files every child process would compile our modules and its libraries anew.
unset PYTHONPATH PYTHONHOME PYTHONDONTWRITEBYTECODE

die() {
  printf '%s\n' "$*" >&2
  exit 1
}

find_python() {
  local candidate
  for candidate in ${PYTHON:+"$PYTHON"} python3 python3.14 python3.13 python3.12 python3.11 python; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      command -v "$candidate"
      return
    fi
  done
  die "foretype needs Python 3.11 or newer: install it, or name it by PYTHON=/path/to/python3"
}

environment_key() { # PYTHON EXTRAS
  "$1" - "$ROOT" "$2" <<'PY'
import hashlib, json, pathlib, sys, tomllib
root = pathlib.Path(sys.argv[1])
table = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
installed = [table["build-system"], table["project"], table["tool"]["hatch"]]  # lint rules are not
parts = [str(root), sys.argv[2], sys.version, sys.base_prefix, json.dumps(installed)]
parts.append((root / "constraints.txt").read_text(encoding="utf-8"))
print(hashlib.sha256("\0".join(parts).encode()).hexdigest())
PY
}

ensure_environment() { # NAME EXTRAS
  local name=$1 extras=$2 place=$ROOT/.venv/$1 python key
  python=$(find_python) || exit 1
  key=$(environment_key "$python" "$extras")
  mkdir -p "$ROOT/.venv"
  # Two scripts at once must not build one folder; where flock is missing they are not guarded.
  exec 9>"$ROOT/.venv/$name.lock"
  if command -v flock >/dev/null; then flock 9; fi
  if [ "$(cat "$place/.ready" 2>/dev/null)" != "$key" ] || ! "$place/bin/python" -c '' 2>/dev/null; then
    build_environment "$python" "$place" "$extras"
    printf '%s\n' "$key" >"$place/.ready.part"
    mv "$place/.ready.part" "$place/.ready"
  fi
  exec 9>&-
}

make_venv() { # PYTHON PLACE
  "$1" -m venv "$2" || die "$1 cannot make virtual environments; on Debian and Ubuntu: apt install python3-venv"
  # Windows calls the folder Scripts; a junction gives it the name that the scripts use (not tried there).
  [ -d "$2/bin" ] || cmd //c mklink //J "$(cygpath -w "$2/bin")" "$(cygpath -w "$2/Scripts")" >/dev/null
}

build_environment() { # PYTHON PLACE EXTRAS
  printf 'Setting up %s (once; a minute or so) ...\n' "${2#"$ROOT"/}" >&2
  rm -rf "$2"
  make_venv "$1" "$2"
  local install=("$2/bin/python" -m pip install --quiet --disable-pip-version-check --no-input
    --constraint "$ROOT/constraints.txt")
  "${install[@]}" hatchling editables || die "could not install the build tools (see above)"
  # In place, with the build tools just installed: an edited source file needs no new set-up.
  "${install[@]}" --no-build-isolation --editable "$ROOT${3:+[$3]}" || die "could not install foretype (see above)"
}

ensure_tools() { # NAME PACKAGE...
  local name=$1 place=$ROOT/.venv/$1 python
  shift
  python=$(find_python) || exit 1
  mkdir -p "$ROOT/.venv"
  exec 9>"$ROOT/.venv/$name.lock"
  if command -v flock >/dev/null; then flock 9; fi
  if [ "$(cat "$place/.ready" 2>/dev/null)" != "$*" ] || ! "$place/bin/python" -c '' 2>/dev/null; then
    rm -rf "$place"
    make_venv "$python" "$place"
    "$place/bin/python" -m pip install --quiet --disable-pip-version-check --no-input \
      --constraint "$ROOT/constraints.txt" "$@" || die "could not install $* (see above)"
    printf '%s\n' "$*" >"$place/.ready.part"
    mv "$place/.ready.part" "$place/.ready"
  fi
  exec 9>&-
}
