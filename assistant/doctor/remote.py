"""Check of the remote fallback's settings. Asks no server and sends nothing."""

from assistant.doctor.finding import CheckResult, broken, ok, warning
from assistant.errors import SettingsError
from assistant.remote.errors import RemoteError
from assistant.remote.settings import (
    find_missing,
    key_of,
    load_remote_settings,
    remote_settings_path,
)
from assistant.settings import Settings


def remote(settings: Settings) -> CheckResult:
    """Look at what `remote.toml` says, and whether the key that it names is there."""
    path = remote_settings_path()
    try:
        asked = load_remote_settings()
    except SettingsError as error:
        return broken("remote", str(error), f"correct {path}, or delete it")
    if asked.mode == "off" or not settings.allow_remote:
        return ok("remote", "off: no code leaves this machine")
    found = f"{asked.mode}: {asked.provider} at {asked.host}"
    if not asked.is_consented:
        fix = f'to agree, write send_code_to = "{asked.host}" into {path}'
        return warning("remote", f"{found}, but nothing is sent without your yes", fix)
    if missing := find_missing():
        need, _, command = missing.partition(": ")
        return warning("remote", f"{found}, but {need}", command)
    try:
        key_of(asked)
    except RemoteError as error:
        return warning("remote", f"{found}: {error}", f"set it, or change {path}")
    return ok("remote", f"{found}; `foretype egress` shows what left")
