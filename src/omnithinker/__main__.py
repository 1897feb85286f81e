"""``python -m omnithinker`` is the ``omnithinker`` command."""

import signal
import sys

# Until the command has begun, Ctrl-C ends the process silently instead of with a traceback of an import.
if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

from omnithinker.cli import main

if __name__ == "__main__":
    sys.exit(main())
