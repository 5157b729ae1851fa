"""Both panels, driven as a user drives them, on the host; and both modules without any package."""

import pytest
from slicer_host import inside

FILES = (
    "inside_registering.py",
    "inside_choosing.py",
    "inside_prediction.py",
    "inside_training.py",
    "inside_bare.py",
)


@pytest.mark.parametrize(("file", "name"), [(file, name) for file in FILES for name in inside.names(file)])
def test_module(file, name):
    inside.report(file, name)
