"""``python -m wavecore`` is the command line."""

import sys

from wavecore.cli import main

sys.exit(main())
