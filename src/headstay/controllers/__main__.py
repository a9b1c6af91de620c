"""`python -m headstay.controllers`: the operator process."""

import sys

from headstay.controllers.main import main

sys.exit(main(sys.argv[1:]))
