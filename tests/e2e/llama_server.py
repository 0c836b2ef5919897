"""llama.cpp's server as llama-cpp-python ships it: `python llama_server.py --model FILE ...`.

Its wheels may keep the processor's code in libraries of their own that nobody loads; this does,
then hands over to the real program. Runs in an interpreter that has `llama_cpp` with `server`.
"""

import ctypes
from pathlib import Path

import llama_cpp
from llama_cpp import llama_cpp as library
from llama_cpp.server.__main__ import main


def load_backends() -> None:
    folder = Path(llama_cpp.__file__).parent / "lib"
    library.llama_backend_init()
    for path in sorted(folder.glob("libggml.*so*")) or sorted(folder.glob("libggml.so*")):
        ggml = ctypes.CDLL(str(path))
        if hasattr(ggml, "ggml_backend_load_all_from_path"):
            ggml.ggml_backend_load_all_from_path(ctypes.c_char_p(str(folder).encode()))
            return


if __name__ == "__main__":
    load_backends()
    main()
