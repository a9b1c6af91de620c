"""`python3 keeper.pyz start --head --block ...`: the `ray` command line under supervision."""

import sys

from .launch import main

sys.exit(main(sys.argv[1:]))
