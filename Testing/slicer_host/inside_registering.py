"""What it costs a user who opens neither module: both are registered, and nothing is loaded for them."""

import sys

import pytest

from slicer_host import application

application.start()
#: What a bare Slicer has not loaded when it starts, and what nobody needs before a panel is opened.
HEAVY = ("SimpleITK", "numba", "pandas", "scipy", "sklearn", "vtk.util")
OURS = ("TACEResponseLib", "TACEResponseSlicer")
BEFORE = set(sys.modules)


def loaded(*names: str) -> list[str]:
    """Those of the modules, or their parts, that Python has loaded."""
    return sorted({name for name in names for m in sys.modules if m == name or m.startswith(f"{name}.")})


@pytest.fixture(scope="session", autouse=True)
def search_path() -> list[str]:
    """What registering both added to it, the training module first, while the other's folder is not known."""
    known = list(sys.path)
    sys.path[:] = [path for path in known if path != str(application.ROOT / "TACEResponse")]
    without = list(sys.path)
    application.load_module("TACEResponseTraining")
    left = list(sys.path)
    sys.path[:] = known
    application.load_module("TACEResponse")
    return [path for path in left if path not in without]


def test_the_host_itself_has_loaded_nothing_heavy_so_that_this_says_something():
    assert sorted(BEFORE & set(HEAVY)) == []


def test_registering_both_modules_loads_nothing_heavy_and_of_our_rooms_the_texts_alone():
    assert loaded(*HEAVY) == []
    ours = {name for name in sys.modules if name.partition(".")[0] in OURS}
    lib, slicer_side = OURS
    texts = {f"{lib}.messages", f"{lib}.messages.language", f"{slicer_side}.texts"}
    assert ours == {lib, slicer_side, *texts}


def test_the_texts_follow_the_language_that_slicers_settings_name():
    import slicer
    from TACEResponseSlicer.texts import application_language

    assert application_language() == ""
    settings = slicer.app.settings
    settings.update({"language": "zh-CN", "Internationalization/Enabled": "true"})
    assert application_language() == "zh-CN"
    settings["Internationalization/Enabled"] = False
    assert application_language() == ""
    settings.clear()


def test_registering_leaves_the_search_path_as_slicer_made_it(search_path):
    import slicer

    assert search_path == []
    assert slicer.modules.taceresponsetraining.title == "TACE Response Training"


def test_a_panel_that_is_opened_then_finds_everything():
    assert application.open_panel("TACEResponseTraining").ui.trainButton.text == "Train"
    assert loaded("TACEResponseLib", "TACEResponseSlicer") == list(OURS)
