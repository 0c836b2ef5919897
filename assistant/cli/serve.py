"""`foretype serve`: one model for a small team, over HTTP in OpenAI's form."""

import argparse
import functools
import importlib.util
import logging
import os
import signal
import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from assistant.cli.command import DONE, CommandParser, UsageError, run_command
from assistant.errors import AssistantError
from assistant.logs import configure
from assistant.models.selection import find_model
from assistant.remote.settings import is_loopback
from assistant.settings import load_settings
from model.extras import how_to_add

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from uvicorn import Server

MAX_CONNECTIONS = 256
_EPILOG = """\
Keys are lines of the file that --keys names, which only you may read; or FORETYPE_SERVE_KEY is one.
Without keys only this machine is answered. docs/team.md says more.

exit codes: 0 ended when told to, 1 the model or the address cannot be had, 2 bad usage
"""


def main(argv: Sequence[str]) -> int:
    """Run `foretype serve` with its arguments; return the exit code."""
    return run_command("serve", lambda: _run(_parser().parse_args(argv)))


def _run(args: argparse.Namespace) -> int:
    for name in ("starlette", "uvicorn"):
        if importlib.util.find_spec(name) is None:
            raise AssistantError(f"{name} is missing: {how_to_add('serve')}")
    from assistant.generate.backend import open_backend
    from assistant.serve.app import CompletionServer
    from assistant.serve.callers import Callers, read_keys
    from model.folder import BUNDLED

    keys = read_keys(args.keys, os.environ.get("FORETYPE_SERVE_KEY", "").strip())
    if not keys and not is_loopback(args.host):
        raise UsageError(f"{args.host!r} can be reached from elsewhere: that needs --keys")
    if args.tls_key and not args.tls_certificate:
        raise UsageError("--tls-key needs --tls-certificate")
    settings = load_settings()
    model = args.model or settings.model
    place = find_model(model) if model else BUNDLED
    with configure(settings.log_file):
        label = model if place.name == model else ""
        backend = open_backend(str(place), label=label, **settings.run_options)
        family = socket.AF_INET6 if ":" in args.host else socket.AF_INET
        with (
            ThreadPoolExecutor(1, "serve-network") as network,
            socket.create_server((args.host, args.port), family=family) as listener,
        ):
            callers = Callers(keys, args.requests_per_minute)
            host = f"[{args.host}]" if ":" in args.host else args.host
            server = CompletionServer(backend, callers, args.deadline, network, host)
            web = make_web_server(server.app, args)
            address = f"http{'s' * web.config.is_ssl}://{host}:{listener.getsockname()[1]}/v1"
            # uvicorn hands on what it heard; what comes before it listens must end it, too.
            signal.signal(signal.SIGTERM, lambda *_: setattr(web, "should_exit", True))
            print(f"foretype serve: {backend.label} at {address}", flush=True)
            web.run([listener])
    return DONE


def make_web_server(app: "Starlette", args: argparse.Namespace) -> "Server":
    """Return uvicorn, which writes no log and takes nothing from the environment."""
    import uvicorn

    quiet = logging.getLogger("uvicorn")
    quiet.propagate, quiet.handlers = False, [logging.NullHandler()]
    config = uvicorn.Config(
        app, http="h11", loop="asyncio", ws="none", lifespan="off", interface="asgi3", workers=1,
        log_config=None, access_log=False, server_header=False, proxy_headers=False,
        limit_concurrency=MAX_CONNECTIONS, timeout_graceful_shutdown=args.deadline + 5,
        ssl_certfile=args.tls_certificate, ssl_keyfile=args.tls_key,
    )  # fmt: skip
    try:
        config.load()  # certificates
    except OSError as error:
        files = " and ".join(filter(None, (args.tls_certificate, args.tls_key)))
        why = error.strerror or error
        raise AssistantError(
            f"no certificate and key in PEM could be read from {files}: {why}"
        ) from error
    return uvicorn.Server(config)


def _parser() -> argparse.ArgumentParser:
    text = "Serve one model to a small team, over HTTP in OpenAI's form."
    parser = CommandParser(prog="foretype serve", description=text, epilog=_EPILOG)
    parser.add_argument("--model", help="folder, GGUF file, or name of a listed model")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at (127.0.0.1)")
    parser.add_argument("--keys", default="", metavar="FILE", help="who may ask, a key a line")
    parser.add_argument("--tls-certificate", metavar="FILE", help="serve https")
    parser.add_argument("--tls-key", metavar="FILE", help="of that certificate")
    numbers = {
        "--port": (8012, 0, "to listen at (8012)"),
        "--requests-per-minute": (600, 1, "of one key (600)"),
        "--deadline": (30, 1, "seconds for an answer, its turn waited for (30)"),
    }
    for name, (usual, low, text) in numbers.items():
        kind = functools.partial(_number, low)
        parser.add_argument(name, type=kind, default=usual, metavar="N", help=text)
    return parser


def _number(low: int, text: str) -> int:
    if not (text.isdecimal() and len(text) < 6 and low <= int(text) <= 65_535):
        raise argparse.ArgumentTypeError(f"a number in {low}..65535 is needed")
    return int(text)
