"""The proposal in the panel: a program or a click draws a draft, and a person confirms it before Predict."""

import contextlib

from TACEResponseLib.messages.errors import Cancelled
from TACEResponseLib.proposal.click import DEFAULT_EXTENT
from TACEResponseLib.proposal.draft import SMALL_MM

from . import ct_frame, draft_node, segmentator
from .answer_view import breakable
from .click_growth import CLICK, ClickGrowth
from .click_point import ClickPoint
from .first_choice import reference_ct
from .map_layer import jump_to
from .panel import WIDGET_GONE
from .texts import tr as _

#: Steps of the slider between the smallest and the largest extent of a click.
STEPS = 100
#: Lesions whose size is said.
MOST_SIZES = 5


class ProposalSection:
    """Offers TotalSegmentator and a click; what they give is a draft on the chosen CT.

    run: the panel's `RunSection`, for the program. node(): the parameter node, None while there is none.
    take(segmentation, ids): choose segments. on_changed(): Predict may be possible now, or not any more.
    """

    def __init__(self, ui, run, errors_shown, node, take, on_changed):
        self._ui, self._run, self._errors_shown = ui, run, errors_shown
        self._node, self._take, self._on_changed = node, take, on_changed
        self._searched, self._looks = None, False  # the CT in which the program looks, or looked last
        self._clicked = self._drawn = None  # the CT of a click, and the segmentation with its draft
        self._lesion = None  # the ID of the segment around that click
        self._drawing, self._installed, self._found = False, False, ""
        self.point = ClickPoint(ui.clickButton, self.grow_from, self.check)
        self.growth = ClickGrowth(self._show_region)
        _say_what_it_is(ui)
        ui.extentSlider.setValue(round(STEPS * DEFAULT_EXTENT))
        ui.proposeButton.connect("clicked(bool)", self.propose)
        ui.clickButton.connect("clicked(bool)", self.click)
        ui.confirmButton.connect("clicked(bool)", self.confirm)
        ui.extentSlider.connect("valueChanged(int)", self._on_extent)

    @property
    def searching(self) -> bool:
        """Whether the program looks for lesions now."""
        return self._looks and self._run.running

    def reason(self) -> str:
        """Why Predict has to wait for a person; empty when it has not."""
        node = self._node()
        if not self._has_draft(node) or draft_node.is_confirmed(node.segmentation):
            return ""
        return _("The outline is a proposal. Look at it, correct it, then press Confirm outline")

    def is_drawn(self) -> bool:
        """Whether no ticked segment was proposed here."""
        return not self._has_draft(self._node())

    def show(self, node) -> None:
        """Follow the choice: what is worked out about another CT or another segmentation is dropped."""
        if self._searched is not None and node.ctVolume is not self._searched:
            self._forget_search()
        if self._clicked is not None and node.ctVolume is not self._clicked:
            self._forget_click()
        if self._drawn is not None and node.segmentation is not self._drawn:
            self._forget_click()
        self.check()

    def on_edited(self) -> None:
        """A segment was changed: what a person drew is not drawn over by another extent."""
        if not self._drawing and self._drawn is not None:
            self._forget_click()
            self.check()

    def leave(self) -> None:
        """Another module is opened: the next click in a view is not ours."""
        self.point.stop()
        self.check()

    def release(self) -> None:
        """The scene closes."""
        self._forget_search()
        self._forget_click()

    def close(self) -> None:
        """The panel goes away, its widgets perhaps before it: nothing is written into them any more."""
        self._forget_click()

    # The program

    def propose(self, _checked=False) -> None:
        """Look for lesions with TotalSegmentator, or offer to install it."""
        with self._errors_shown(_("No outline was proposed.")):
            if segmentator.is_there():
                self._search()
            elif segmentator.asked_to_install():
                segmentator.install_extension()
                self._installed = True
                self.check()

    def _search(self) -> None:
        if segmentator.moves_numpy() and not segmentator.asked_to_move_numpy():
            raise Cancelled()
        segmentator.ensure_packages()
        volume, program = self._node().ctVolume, segmentator.command()
        image = ct_frame.image_of(volume)
        self._forget_click()
        self._searched, self._looks, self._found = volume, True, ""
        self._run.start(
            lambda report: segmentator.lesions(image(), program, report),
            _("No outline was proposed."),
            lambda lesions: self._show_found(volume, lesions),
            on_failed=lambda error: self._end_search(),
        )

    def _end_search(self) -> None:
        self._looks = False

    def _forget_search(self) -> None:
        """Another CT: what the program finds or found is about that one."""
        if self.searching:
            self._run.cancel()
        self._searched, self._found = None, ""

    def _show_found(self, volume, lesions) -> None:
        self._end_search()
        if lesions:
            self._draw(volume, None, lambda draft: draft_node.fill(draft, lesions, segmentator.title()))
            jump_to(ct_frame.ras_of(volume, ct_frame.middle_of(lesions[0].mask)))
            return
        self._found = _(
            "TotalSegmentator found no lesion in the liver. That does not mean that there is none. Draw the"
            " tumour, or click on it."
        )
        self.check()

    # The click

    def click(self, _checked=False) -> None:
        """Let the next click in a slice view be one on the tumour, or take that back."""
        if self.point.waiting:
            self.point.stop()
        else:
            with self._errors_shown(_("No outline was proposed.")):
                ct_frame.check(self._node().ctVolume)
                self._clicked = self._node().ctVolume
                self.point.start()
        self.check()

    def grow_from(self, ras_mm) -> None:
        """Propose the region around a position (right, anterior, superior) of the world, in mm.

        It is one more lesion of the draft of earlier clicks, or replaces the one in which the position lies.
        """
        with self._errors_shown(_("No outline was proposed.")):
            volume, draft = self._node().ctVolume, self._draft_of_clicks()
            image, seed_mm = ct_frame.image_of(volume), ct_frame.lps_of(volume, ras_mm)
            self._forget_click()
            self._clicked, self._drawn, self._found = volume, draft, ""
            self._lesion = draft_node.lesion_at(draft, ras_mm) if draft else None
            self.growth.begin(image, seed_mm, self._extent())
        self.check()

    def _draft_of_clicks(self):
        """The chosen segmentation where clicks on the chosen CT made it, confirmed or not; else None."""
        node = self._node()
        clicked = draft_node.program_of(node.segmentation) == CLICK
        return node.segmentation if clicked and reference_ct(node.segmentation) is node.ctVolume else None

    def _extent(self) -> float:
        return self._ui.extentSlider.value / STEPS

    def _on_extent(self, _value) -> None:
        self.growth.resize(self._extent())

    def _show_region(self, lesions, error) -> None:
        with self._errors_shown(_("No outline was proposed.")):
            if error is not None:
                raise error
            self._drawn = self._draw(self._clicked, self._drawn, lambda draft: self._put(draft, lesions[0]))
        self.check()

    def _put(self, draft, lesion) -> list[str]:
        """Draw the region around the click; IDs of what is ticked then."""
        node = self._node()
        ticked = list(node.segmentIds) if node.segmentation is draft else []
        self._lesion = draft_node.put(draft, lesion, CLICK, self._lesion)
        return ticked if self._lesion in ticked else [*ticked, self._lesion]

    def _forget_click(self) -> None:
        """No point, no region and no thread of a click is left; a draft stays what it is."""
        self.point.stop()
        self.growth.forget()
        self._clicked = self._drawn = self._lesion = None

    # The draft

    def confirm(self, _checked=False) -> None:
        """The outline is a person's now, as it was proposed or with that person's changes."""
        node = self._node()
        self._forget_click()
        draft_node.confirm(node.segmentation, list(node.segmentIds))
        self._on_changed()

    def _draw(self, volume, segmentation, write):
        """Draw a draft into its segmentation, or into a new one, and choose it; the segmentation.

        write(segmentation): draws, and returns the IDs of the segments to tick.
        """
        self._drawing = True
        try:
            segmentation = segmentation or draft_node.make(volume)
            self._take(segmentation, write(segmentation))
        finally:
            self._drawing = False
        self._ui.proposalSection.collapsed = False
        self._on_changed()
        return segmentation

    def _has_draft(self, node) -> bool:
        return bool(node and node.segmentation and draft_node.is_draft(node.segmentation, node.segmentIds))

    def check(self) -> None:
        """Enable what can be done now, and say what waits for whom."""
        with contextlib.suppress(*WIDGET_GONE):
            self._show_buttons()
            self._show_draft()

    def _show_buttons(self) -> None:
        ui, node = self._ui, self._node()
        why_not = "" if node and node.ctVolume else _("Choose a CT volume")
        for button in (ui.proposeButton, ui.clickButton):
            # A click while the region of the last one is worked out would take that one's place.
            button.enabled = not (why_not or self._run.running or self.growth.running)
        ui.proposeButton.toolTip = why_not or _(
            "Let TotalSegmentator look for liver lesions in the chosen CT"
        )
        ui.proposeLabel.text = segmentator.offer(self._installed)
        ui.clickButton.text = _("Stop clicking") if self.point.waiting else _("Click on the tumour")
        ui.clickButton.toolTip = why_not or _(
            "Press, then click into the middle of the lesion in a slice view: the region around it is"
            " proposed, beside those of earlier clicks. A click into a proposed lesion proposes that one"
            " again. Needs no other software."
        )

    def _show_draft(self) -> None:
        ui, node, waits = self._ui, self._node(), bool(self.reason())
        ui.extentRow.visible = waits and self.growth.known
        ui.confirmButton.visible = waits
        ui.confirmButton.enabled = not self._run.running
        if self.point.waiting:
            said = _("Click into the middle of the lesion, in any slice view.")
        elif self._has_draft(node):
            said = _waiting(node.segmentation) if waits else _confirmed(node.segmentation)
        else:
            said = self._found
        ui.draftLabel.text, ui.draftLabel.visible = breakable(said), bool(said)


def _say_what_it_is(ui) -> None:
    """Texts that stay."""
    ui.proposalSection.text = _("Propose the outline")
    ui.proposalSection.toolTip = _("A program or one click draws a draft, which you correct and confirm.")
    ui.proposeButton.text = _("Propose tumour...")
    ui.extentLabel.text = _("Extent:")
    ui.extentLabel.toolTip = ui.extentSlider.toolTip = _("How far the region around the last click reaches.")
    ui.confirmButton.text = _("Confirm outline")
    ui.confirmButton.toolTip = _(
        "Take the ticked segments as the tumour. The answer says that they were proposed."
    )


def _waiting(segmentation) -> str:
    """Who proposed the draft, how large its lesions are, and what is to be done with it."""
    sizes = draft_node.sizes_of(segmentation)
    listed = [_size(n, *size) for n, size in enumerate(sizes[:MOST_SIZES], start=1)]
    more = [_("... and {n} more").format(n=len(sizes) - MOST_SIZES)] if len(sizes) > MOST_SIZES else []
    todo = _('Look at every slice, correct it with "Draw or correct...", then confirm it.')
    if draft_node.program_of(segmentation) == CLICK:
        todo += " " + _("Click on each further lesion, or draw it: what is not outlined does not count.")
    return "\n".join([f"{_proposed_by(segmentation)} {todo}", *listed, *more])


def _size(n: int, volume_ml: float, diameter_mm: float) -> str:
    small = _("{n}: {volume:.1f} mL, {diameter:.0f} mm (small)")
    line = small if diameter_mm < SMALL_MM else _("{n}: {volume:.1f} mL, {diameter:.0f} mm")
    return line.format(n=n, volume=volume_ml, diameter=diameter_mm)


def _confirmed(segmentation) -> str:
    return f"{_proposed_by(segmentation)} {_('You confirmed it.')}"


def _proposed_by(segmentation) -> str:
    program = draft_node.program_of(segmentation)
    said = _("Proposed around your click.") if program == CLICK else _("Proposed by {program}.")
    return said.format(program=program)
