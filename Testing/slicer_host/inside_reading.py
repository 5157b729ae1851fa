"""What the panel says of the answers of `readings`: banner, headline, class and their colour."""

import re
from html import unescape

import pytest

from slicer_host import application

application.start()

from readings import CASES
from TACEResponseSlicer.answer_view import answer_html

#: Name of a colour -> on a light and on a dark ground.
HEX = {
    "orange": ("#a34700", "#ffb27a"),
    "blue": ("#1f5fa8", "#9cc4f0"),
    "text": ("#1c1f24", "#f2f4f7"),
    "grey": ("#5f6673", "#a3abb8"),
}
RED = ("#b3261e", "#ff8a80")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("name", CASES)
def test_the_panel_says_it_in_its_colour(name, dark):
    answer, expected = CASES[name]
    lines = answer_html(answer, dark).split("<br>")
    texts = [unescape(re.sub(r"<[^>]+>", "", line)) for line in lines]
    colours = [re.findall(r"color:(#\w+)", line) for line in lines]
    banner = [(f"\u26a0 {expected.banner}", [RED[dark]])] if expected.banner else []
    coloured = [HEX[expected.colour][dark]]
    headline = (expected.headline, coloured if expected.kind == "outside" else [])
    verdict = [(expected.verdict, coloured)] if expected.verdict else []
    assert list(zip(texts, colours, strict=True))[:-1] == [*banner, headline, *verdict]
