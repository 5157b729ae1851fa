"""The button that a panel is there for: it stands out, and says below itself why it cannot be pressed."""

from .answer_view import breakable

#: White on it can be read (5.9 : 1), and it is none of the colours that an answer has.
GREEN, BORDER = "#1f6f6b", "#103f3d"
STYLE = f"""
QPushButton {{ font-weight: 600; padding: 6px; }}
QPushButton:enabled {{
 background-color: {GREEN}; color: white; border: 2px solid {BORDER}; border-radius: 4px;
}}
QPushButton:enabled:hover, QPushButton:enabled:focus {{ border-color: white; }}
QPushButton:enabled:pressed {{ background-color: {BORDER}; }}
"""  # not a text


class MainButton:
    """button: Predict or Train. label: below it, for the reason; hidden while there is none."""

    def __init__(self, button, label):
        self._button, self._label = button, label

    def offer(self, text: str, tip: str, reason: str) -> None:
        """Enable the button, or say in `reason` what is missing."""
        self._button.text, self._button.toolTip = text, reason or tip
        self._button.enabled = not reason
        self._style(STYLE)
        self._label.text = breakable(reason)
        self._label.visible = bool(reason)

    def offer_cancel(self, text: str, tip: str) -> None:
        """While something runs the same button stops it, and looks like any other."""
        self._button.text, self._button.toolTip, self._button.enabled = text, tip, True
        self._style("")
        self._label.visible = False

    def _style(self, style: str) -> None:
        if self._button.styleSheet != style:  # a new one makes Qt lay the panel out again
            self._button.styleSheet = style
