"""`python -m nnunetv2_mscs` is `mscs`."""

import sys

from nnunetv2_mscs.cli.main import main

sys.exit(main())
