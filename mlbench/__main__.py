"""``python -m mlbench`` is the same as ``mlbench``."""

import sys

from mlbench.cli import main

sys.exit(main())
