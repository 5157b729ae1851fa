"""The region around one click, worked out beside the panel for the extent that was asked for last."""

from TACEResponseLib.proposal import click
from TACEResponseLib.proposal.draft import DraftLesion, lesions_of

from . import draft_node
from .background import BackgroundTask

#: What an outline says proposed it, as on the command line.
CLICK = "one click"  # not a text


class ClickGrowth:
    """Keeps what was prepared for one click, so that another extent is quick.

    on_region(lesions, error): exactly one is not None; lesions: one `proposal.draft.DraftLesion`. Only the
    last extent counts: those that were asked for while one was worked out are left out.
    """

    def __init__(self, on_region):
        self._on_region = on_region
        self._task = self._growth = self._asked = None

    @property
    def known(self) -> bool:
        """Whether there is a region whose extent can be changed."""
        return self._growth is not None

    @property
    def running(self) -> bool:
        """Whether a region is worked out now."""
        return self._task is not None

    def begin(self, image, seed_mm, extent: float) -> None:
        """Work out the region of another click. image(): a SimpleITK image in HU. seed_mm: LPS."""
        self.forget()

        def compute(report):
            growth = click.prepare(image(), seed_mm, lambda *step: report())
            return growth, extent, _lesions(growth, extent)

        self._start(compute, extent)

    def resize(self, extent: float) -> None:
        """Work out another extent, as soon as the present one is done."""
        self._asked = extent
        if self.known and not self.running:
            growth = self._growth
            self._start(lambda report: (growth, extent, _lesions(growth, extent)), extent)

    def forget(self) -> None:
        """Drop the region and what works on it."""
        if self._task is not None:
            self._task.drop()
        self._task = self._growth = self._asked = None

    def waitForCompletion(self, timeout_s: float = 60) -> bool:
        """Wait until the last extent was reported; False when time ran out. For tests and scripts."""
        while self.running:
            if not self._task.waitForCompletion(timeout_s):
                return False
        return True

    def _start(self, compute, extent: float) -> None:
        self._asked = extent
        self._task = BackgroundTask(compute, lambda *step: None, self._finish)

    def _finish(self, result, error) -> None:
        self._task = None
        if error is not None:
            self._on_region(None, error)
            return
        self._growth, extent, lesions = result
        asked = self._asked
        self._on_region(lesions, None)
        if asked != extent:
            self.resize(asked)


def _lesions(growth: click.Growth, extent: float) -> tuple[DraftLesion, ...]:
    return draft_node.in_boxes(lesions_of(growth.mask(extent), CLICK))
