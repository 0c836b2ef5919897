"""`transformers serve` as a program: `python serve_transformers.py FOLDER PORT`.

Runs in an interpreter that has transformers with its `serving` extra.
"""

import sys

from transformers.cli.transformers import main

if __name__ == "__main__":
    folder, port = sys.argv[1:]
    sys.argv = ["transformers", "serve", folder, "--host", "127.0.0.1", "--port", port]
    main()
