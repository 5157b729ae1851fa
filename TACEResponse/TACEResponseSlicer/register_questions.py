"""What the panel asks before it keeps an answer: the register's file, and the patient's ID in it."""

from pathlib import Path

import qt
import slicer

from .texts import tr as _

SETTING = "TACEResponse/Register"


def remembered() -> str:
    """The register in which an answer was kept last; empty before the first."""
    return str(slicer.app.userSettings().value(SETTING) or "")


def remember(file) -> None:
    """Offer the register `file` from now on."""
    slicer.app.userSettings().setValue(SETTING, str(file))


def ask_file() -> str:
    """The register that the user chooses, new or not; empty when they do not want to."""
    dialog = qt.QFileDialog(slicer.util.mainWindow(), _("Register: a new file, or the one that you keep"))
    dialog.setAcceptMode(qt.QFileDialog.AcceptSave)
    dialog.setOption(qt.QFileDialog.DontConfirmOverwrite)  # it is added to, never overwritten
    dialog.setNameFilters([_("Register (*.sqlite)"), _("All files (*)")])
    dialog.setDefaultSuffix("sqlite")
    known = Path(remembered() or Path.home() / "tace-response-register.sqlite")
    dialog.setDirectory(str(known.parent))
    dialog.selectFile(known.name)
    chosen = dialog.selectedFiles()[0] if dialog.exec_() else ""
    dialog.deleteLater()  # the main window would keep it
    return chosen


def date_sentence(day) -> str:
    """Which date an answer is kept with; day: of the scan, None where it is not known."""
    if day:
        return _("Scan date: {day}, from DICOM.").format(day=day)
    return _("The date of the scan is not known: today's date is kept.")


def ask_id(day=None) -> str:
    """The ID under which the answer is kept; empty when the user does not want to. day: of the scan."""
    dialog = qt.QInputDialog(slicer.util.mainWindow())
    dialog.setWindowTitle(_("Keep in register"))
    question = _(
        "ID of the patient in the register. A pseudonym will do; the response is added under it later."
    )
    dialog.setLabelText(f"{question}\n{date_sentence(day)}")
    answer = dialog.textValue().strip() if dialog.exec_() else ""
    dialog.deleteLater()
    return answer
