"""What each command of the command line does: read, call the library, show, write.

Every function takes the parsed options and a progress callable and returns the exit code; named
errors pass through to `__main__`. Imports stand inside the commands, so that `--help` and `check`
do not wait for scikit-learn.
"""

from .cohorts import check, extract, phantom
from .combining import combine
from .comparing import compare
from .describing import completion, schema
from .fetching import fetch
from .predicting import demo, predict
from .proposing import propose
from .registering import audit, follow_up
from .training import evaluate, train
from .updating import update
from .verifying import verify_public

__all__ = [
    "audit",
    "check",
    "combine",
    "compare",
    "completion",
    "demo",
    "evaluate",
    "extract",
    "fetch",
    "follow_up",
    "phantom",
    "predict",
    "propose",
    "schema",
    "train",
    "update",
    "verify_public",
]
