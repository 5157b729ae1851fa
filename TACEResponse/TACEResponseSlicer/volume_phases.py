"""Which phase of contrast each loaded volume shows, as far as that is known without looking at its voxels."""

from TACEResponseLib.answer.phases import phase_title
from TACEResponseLib.readers.phases import phase_of_description

from .answer_view import breakable
from .first_choice import ct_volumes
from .texts import tr as _

#: More volumes than these are not listed.
MOST_VOLUMES = 8


class VolumePhases:
    """The line under the CT: needed where there are several volumes to choose from."""

    def __init__(self, label):
        self._label = label
        self._measured = {}
        label.visible = False

    def remember(self, volume, phase: str) -> None:
        """What aorta and portal vein of this volume showed; "" where they are not drawn."""
        if volume is not None and phase:
            self._measured[volume.GetID()] = phase
        self.show()

    def show(self) -> None:
        """List the volumes whose phase was measured, or is said by their name."""
        volumes = ct_volumes()[:MOST_VOLUMES]
        lines = [line for line in map(self._line, volumes) if line]
        self._label.text = "\n".join(map(breakable, lines))
        self._label.visible = len(volumes) > 1 and bool(lines)

    def _line(self, volume) -> str:
        name = volume.GetName() or ""
        measured = self._measured.get(volume.GetID())
        phase = measured or phase_of_description(name)
        if not phase:
            return ""
        line = _("{name}: {phase} phase (measured)") if measured else _("{name}: {phase} phase (by name)")
        return line.format(name=name, phase=phase_title(phase))
