"""The model part of the panel: the bundles that ship, the user's own, and what they say of themselves.

Reading a manifest needs only the standard library, so the list and its warnings are there before
any package is installed.
"""

from dataclasses import dataclass
from pathlib import Path

import slicer
from TACEResponseLib.bundle import demonstration_bundle, public_cohort_bundle, read_card, read_manifest
from TACEResponseLib.messages.errors import TACEResponseError

from .answer_view import is_dark, warning_html
from .texts import tr as _

SETTING = "TACEResponse/Bundles"
#: What the parameter node holds in place of a folder for the two bundles that ship.
PUBLIC_COHORT, DEMONSTRATION = "public-cohort", ""
SHIPPED = (PUBLIC_COHORT, DEMONSTRATION)


@dataclass(frozen=True)
class ModelChoice:
    """One line of the list. folder: of SHIPPED, or where it lies. problem: why it cannot answer."""

    folder: str
    label: str
    demonstration: bool = False
    problem: str = ""

    @property
    def path(self) -> Path:
        """Where the bundle lies; BundleError when one that ships is not installed."""
        return folder_of(self.folder)

    @property
    def caution(self) -> str:
        """What must be read before this model is trusted, or an empty text."""
        if self.problem:
            return self.problem
        if self.folder == PUBLIC_COHORT:
            return _("90 patients of one hospital, never tried at another one. For research only.")
        return _("Trained on synthetic images. Not for patients.") if self.demonstration else ""


def folder_of(chosen: str) -> Path:
    """Where the bundle lies that the parameter node names; BundleError when it does not ship as it should."""
    shipped = {PUBLIC_COHORT: public_cohort_bundle, DEMONSTRATION: demonstration_bundle}
    return shipped[chosen]() if chosen in shipped else Path(chosen)


def model_choice(folder: str) -> ModelChoice:
    """What the list says of the bundle in `folder`, or of one that ships."""
    titles = {
        PUBLIC_COHORT: _("Public cohort (90 patients, research)"),
        DEMONSTRATION: _("Demonstration (synthetic images)"),
    }
    label = titles.get(folder) or Path(folder).name
    try:
        manifest = read_manifest(folder_of(folder))
    except (TACEResponseError, OSError) as error:
        unread = _("{label}: cannot be read").format(label=label)
        return ModelChoice(folder, unread, folder == DEMONSTRATION, str(error))
    if folder not in SHIPPED:
        label = f"{label} ({manifest.id})"
    return ModelChoice(folder, label, manifest.demonstration)


def remembered_folders() -> list[str]:
    """Bundles that were opened before, oldest first."""
    kept = slicer.app.userSettings().value(SETTING)
    return [line for line in str(kept).split("\n") if line] if kept else []


def remember(folder: str) -> None:
    """Offer the bundle in `folder` from now on; raises BundleError when it is none."""
    read_manifest(Path(folder))
    folders = [known for known in remembered_folders() if known != folder]
    slicer.app.userSettings().setValue(SETTING, "\n".join([*folders, folder]))


class ModelSection:
    """The list of models and the caution under it. on_chosen(folder) reports the user's choice."""

    def __init__(self, ui, on_chosen):
        self._ui, self._on_chosen = ui, on_chosen
        self._models = []
        self.chosen = None
        self.fill(DEMONSTRATION)
        ui.bundleComboBox.connect("currentIndexChanged(int)", self._on_index)

    def fill(self, folder: str) -> None:
        """Read the list again and show the bundle in `folder`, also when it is not remembered."""
        folders = [*SHIPPED, *remembered_folders()]
        if folder not in folders:
            folders.append(folder)  # of a scene from another computer, for example
        self._models = [model_choice(known) for known in folders]
        combo = self._ui.bundleComboBox
        combo.blockSignals(True)
        combo.clear()
        for model in self._models:
            combo.addItem(model.label)
        combo.blockSignals(False)
        self.show(folder)

    def show(self, folder: str) -> None:
        """Follow the parameter node."""
        folders = [model.folder for model in self._models]
        if folder not in folders:
            self.fill(folder)
            return
        self.chosen = self._models[folders.index(folder)]
        combo, label = self._ui.bundleComboBox, self._ui.demonstrationLabel
        combo.blockSignals(True)
        combo.setCurrentIndex(folders.index(folder))
        combo.blockSignals(False)
        caution = self.chosen.caution
        label.text = warning_html(caution, is_dark(label)) if caution else ""
        label.visible = bool(caution)
        combo.toolTip = f"{self.chosen.label}\n{caution}".strip()

    def show_card(self) -> None:
        """The card of the chosen model in a dialog; BundleError when it cannot be read."""
        card = read_card(self.chosen.path)
        first, _newline, rest = card.partition("\n\n")
        slicer.util.infoDisplay(first, windowTitle=self.chosen.label, detailedText=rest)

    def _on_index(self, index: int) -> None:
        if 0 <= index < len(self._models):
            self._on_chosen(self._models[index].folder)
