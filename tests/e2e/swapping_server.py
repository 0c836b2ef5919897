"""The real server, which looks at the registry often and waits for quiet only for a moment.

Run as `python -m tests.e2e.swapping_server IDLE_S PATIENCE_S [server options]`.
"""

import sys

from lsp.__main__ import main
from lsp.models import ReloadPace

POLL_S = 0.05

if __name__ == "__main__":
    idle_s, patience_s = map(float, sys.argv[1:3])
    sys.exit(
        main(sys.argv[3:], pace=ReloadPace(poll_s=POLL_S, idle_s=idle_s, patience_s=patience_s))
    )
