"""`foretype lsp`: start the language server on standard streams or on a TCP address.

Standard output is the protocol. Libraries print to it (onnxruntime does when a session fails), so
before anything else is imported it is moved to a private descriptor, and whatever is printed
afterwards goes to standard error. `initialize` is answered before pygls is imported, which happens
while the engine loads.
"""

import argparse
import functools
import gc
import itertools
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from lsp.framing import Channel

if TYPE_CHECKING:
    from assistant.generate.engine import Engine

STOP_S = 0.5  # granted to the worker's token and to the last replies at the end


def main(argv: Sequence[str] | None = None, *, engine: "Engine | None" = None) -> int:
    """Serve one client; exit code 0 after `shutdown` and `exit`, 1 otherwise, 2 if not started."""
    options = _parser().parse_args(argv)
    channel = guard_stdio()  # before anything that may print is imported
    from assistant.logs import configure

    try:
        logs = configure(options.log_file, options.verbose)
        if options.tcp:
            channel = _tcp_client(options.tcp)
    except ValueError as error:  # an address, or a setting
        print(f"foretype lsp: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130

    def end(code: int) -> None:
        # Not sys.exit: the worker may be inside a native call, and nothing is left to save.
        logs.close()
        os._exit(code)

    signal.signal(signal.SIGINT, lambda *_: end(130))

    def log_to(log_file: str) -> None:
        nonlocal logs
        if log_file and not options.log_file:
            logs.close()
            try:
                logs = configure(log_file, options.verbose)
            except ValueError:
                logs = configure("", options.verbose)
                raise

    _serve(channel, end, engine, log_to)
    raise AssertionError("the process has ended")


def _serve(
    channel: Channel,
    end: Callable[[int], None],
    engine: "Engine | None",
    log_to: Callable[[str], None],
) -> None:
    from lsp.fast_initialize import greet
    from lsp.framing import MessageReader, Outbox, values
    from lsp.session import Session

    gc.disable()  # nothing that starting builds is ever garbage

    def give_up() -> None:
        session.save_counts()
        end(session.exit_code)

    outbox = Outbox(channel.write, on_broken=give_up)
    session = Session(
        outbox.put, open_engine=(lambda _: engine) if engine else None, on_lost=give_up
    )
    received = values(MessageReader(channel.read))
    first = list(itertools.islice(received, 1))
    greeting = greet(first[0], session, outbox.put) if first else None
    try:
        log_to(session.settings.current.log_file)
    except ValueError as error:
        session.warn("log_file", str(error))

    import_lsprotocol()
    import asyncio

    from lsp.protocol import serve
    from lsp.server import create_server

    server = create_server(session, greeting)
    gc.freeze()
    gc.enable()
    messages = received if greeting else itertools.chain(first, received)
    asyncio.run(serve(server.protocol, messages, outbox))
    session.stop(STOP_S)
    outbox.close(STOP_S)
    channel.close()
    end(session.exit_code)


def import_lsprotocol() -> None:
    """Import lsprotocol.types without the methods that compare and print, in half the time.

    They are most of what building 554 classes takes: a fifth of the time to the first suggestion.
    We need neither, and what cannot be printed cannot put the user's text into a log. No other
    thread may be defining classes with attrs meanwhile; the engine has none.
    """
    if "lsprotocol.types" in sys.modules:
        return
    import attrs

    define = attrs.define
    attrs.define = functools.partial(define, eq=False, repr=False)
    try:
        import lsprotocol.types  # noqa: F401
    finally:
        attrs.define = define


def guard_stdio() -> Channel:
    """Take standard input and output for the protocol; put /dev/null and stderr in their place."""
    source, sink = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    try:
        os.dup2(2, 1)
    except OSError:  # started with stderr closed
        os.dup2(null, 2)
        os.dup2(null, 1)
    os.close(null)

    def read(n_bytes: int) -> bytes:
        try:
            return os.read(source, n_bytes)
        except OSError:  # a terminal that has gone
            return b""

    def write(data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(sink, view) :]

    def close() -> None:
        os.close(source)
        os.close(sink)

    return Channel(read, write, close)


def _tcp_client(address: str) -> Channel:
    from lsp.tcp import TOKEN_VARIABLE, accept, choose_token, listen

    wanted = os.environ.get(TOKEN_VARIABLE, "")
    token = choose_token(wanted)
    listener = listen(address)
    host, port = listener.getsockname()[:2]
    said = f"the token in {TOKEN_VARIABLE}" if wanted else f"token {token}"
    print(f"foretype lsp: listening on {host}:{port}, {said}", file=sys.stderr, flush=True)
    return accept(listener, token)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="foretype lsp",
        description="Language server: inline completion on standard streams, or on a TCP port.",
    )
    add = parser.add_argument
    add("--stdio", action="store_true", help="standard streams (the default)")
    add("--tcp", metavar="HOST:PORT", help="wait for one client here; port 0: any")
    add("--log-file", default="", metavar="FILE", help="log here, not to stderr")
    add("-v", "--verbose", action="count", default=0, help="say more; -vv: most")
    return parser


if __name__ == "__main__":
    sys.exit(main())
