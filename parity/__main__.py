"""python -m tembed.parity."""

import sys

from .cli import main

sys.exit(main())
