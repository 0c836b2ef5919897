"""llama.cpp's own server out of the wheel `xllamacpp`, with the options of its program that we use.

Runs in an interpreter that has `xllamacpp`: a stand-in for `llama-server`, which has no wheel.
"""

import argparse
import signal

import xllamacpp


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("-m", dest="model", required=True)
    parser.add_argument("--host", required=True)
    for name in ("--port", "-c", "-np", "-t"):
        parser.add_argument(name, type=int, required=True)
    given = parser.parse_args()
    options = xllamacpp.CommonParams()
    options.model.path, options.hostnames = given.model, [given.host]
    options.port, options.n_ctx, options.n_parallel = given.port, given.c, given.np
    options.cpuparams.n_threads = options.cpuparams_batch.n_threads = given.t
    server = xllamacpp.Server(options)
    print(server.listening_address, flush=True)
    signal.pause()


if __name__ == "__main__":
    main()
