"""A proposed outline in the panel, with a stand-in for TotalSegmentator and with a click; see the host."""

import pytest
from slicer_host import inside

FILE = "inside_proposal.py"


@pytest.mark.parametrize("name", inside.names(FILE))
def test_proposal(name):
    inside.report(FILE, name)
