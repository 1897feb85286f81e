"""``python -m omnithinker`` is the ``omnithinker`` command."""

import sys

from omnithinker.cli import main

sys.exit(main())
