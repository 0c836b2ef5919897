# Sourced by scripts that unpack an editor from a newer Debian suite, for tests in the real program.
#
#   unpack_from_debian PLACE SUITE PACKAGE BINARY WHAT
#
# Nothing is installed system-wide. An apt tree of our own, with the machine's mirror and keys, takes
# the package and all its libraries, the C library included; patchelf then ties the program
# PLACE/root/usr/bin/BINARY to them. The empty status file is what makes apt resolve every library.
# What cannot be had is said, with exit status 3; what is there and starts is left as it is.

KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg

cannot() {
  printf '%s cannot be unpacked here: %s\n' "$WHAT" "$*" >&2
  exit 3
}

unpack_from_debian() { # PLACE SUITE PACKAGE BINARY WHAT
  local place=$1 suite=$2 package=$3 binary=$1/root/usr/bin/$4 codename mirror apt loader libraries deb
  WHAT=$5
  # The folder's own path is in the stamp: the patched program holds absolute paths.
  if [ "$(cat "$place/.ready" 2>/dev/null)" = "$place" ] && "$binary" --version >/dev/null 2>&1; then return; fi
  command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || cannot "it takes apt and dpkg (Debian)"
  [ -r "$KEYRING" ] || cannot "the package debian-archive-keyring is not installed"
  codename=$(. /etc/os-release && printf '%s %s' "$ID" "${VERSION_CODENAME:-}")
  [ "${codename%% *}" = debian ] || cannot "this is ${codename%% *}, not Debian"
  mirror=$(apt-get indextargets --format '$(REPO_URI) $(CODENAME)' 'Created-By: Packages' |
    awk -v name="${codename#* }" '$2 == name { print $1; exit }')
  [ -n "$mirror" ] || cannot "apt names no mirror for ${codename#* } (try apt-get update first)"
  ensure_tools patchelf patchelf

  rm -rf "$place"
  apt=$place/apt
  make_apt_tree "$apt" "$mirror" "$suite"
  mkdir -p "$place/root"
  (
    export APT_CONFIG=$apt/apt.conf
    apt-get update -qq || cannot "the package list of $suite could not be fetched"
    apt-get install -qq -y --download-only --no-install-recommends "$package" >/dev/null ||
      cannot "the packages could not be fetched from $suite"
  )
  for deb in "$apt"/cache/archives/*.deb; do dpkg-deb -x "$deb" "$place/root"; done
  loader=$(find "$place/root/usr" -name 'ld-linux*.so.*' | head -n 1)
  libraries=$(dirname "$(find "$place/root/usr/lib" -name 'libc.so.6' | head -n 1)")
  "$ROOT/.venv/patchelf/bin/patchelf" --set-interpreter "$loader" --force-rpath --set-rpath "$libraries" "$binary"
  rm -rf "$apt"
  "$binary" --version >/dev/null || cannot "it does not start"
  printf '%s\n' "$place" >"$place/.ready"
}

make_apt_tree() { # PLACE MIRROR SUITE
  local apt=$1
  mkdir -p "$apt"/etc/{apt.conf.d,preferences.d,sources.list.d,trusted.gpg.d} \
    "$apt/state/lists/partial" "$apt/cache/archives/partial"
  : >"$apt/status"
  cp /etc/apt/apt.conf.d/* "$apt/etc/apt.conf.d/" 2>/dev/null || true # the machine's proxy settings
  cat >"$apt/etc/sources.list.d/editor.sources" <<SOURCES
Types: deb
URIs: $2
Suites: $3
Components: main
Signed-By: $KEYRING
SOURCES
  cat >"$apt/apt.conf" <<CONF
Dir::State "$apt/state";
Dir::State::status "$apt/status";
Dir::Cache "$apt/cache";
Dir::Etc "$apt/etc";
APT::Sandbox::User "root";
APT::Install-Recommends "false";
APT::Keep-Downloaded-Packages "true";
Binary::apt-get::APT::Keep-Downloaded-Packages "true";
Acquire::Languages "none";
Acquire::Retries "3";
CONF
}
