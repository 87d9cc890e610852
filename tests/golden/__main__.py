"""Golden files: all that a user of dlka gets, written down, so that a restructuring shows what it changed.

python -m tests.golden write              # before: fill tests/golden/stored
python -m tests.golden compare            # after every step: what differs, by name
python -m tests.golden compare --only figures recipes
"""

import sys

from tests.golden.run import main

sys.exit(main())
