"""python -m dlka"""

import sys

from dlka.cli import main

sys.exit(main())
