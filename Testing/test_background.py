"""The child process behind the training panel: events, log, errors, cancel, nothing left behind."""

import pytest
from slicer_host import inside

FILE = "inside_background.py"


@pytest.mark.parametrize("name", inside.names(FILE))
def test_background(name):
    inside.report(FILE, name)
