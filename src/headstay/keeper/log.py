"""What the keeper says goes into the container's log."""

import os
import sys
import time
from pathlib import Path


def tell(message: str) -> None:
    """One line in the container's log, where `kubectl logs` shows it, with the time."""
    line = f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} headstay-keeper: {message}\n"
    try:
        with Path(os.environ.get("HEADSTAY_KEEPER_LOG", "/dev/stderr")).open("a") as log:
            log.write(line)
    except OSError:
        sys.stderr.write(line)
