"""The real server, which looks at the registry often and waits for quiet only for a moment.

Run as `python -m tests.e2e.swapping_server IDLE_S PATIENCE_S [server options]`.
"""

import sys

from lsp import models
from lsp.__main__ import main

POLL_S = 0.05

if __name__ == "__main__":
    models.POLL_S = POLL_S
    models.IDLE_S, models.PATIENCE_S = map(float, sys.argv[1:3])
    sys.exit(main(sys.argv[3:]))
