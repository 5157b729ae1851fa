"""A page as PDF, by WeasyPrint, which needs no browser; an optional package."""

import contextlib
import io
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from TACEResponseLib.messages.errors import DependencyError
from TACEResponseLib.messages.language import tr
from TACEResponseLib.storage import whole_file

if TYPE_CHECKING:
    from weasyprint import HTML


def require_pdf() -> None:
    """Raise DependencyError where no PDF can be written, to be said before any work."""
    _printer()


def write_pdf(page: Path) -> Path:
    """Write the PDF of an HTML file beside it, `report.pdf` for `report.html`, whole or not at all; its path.

    Raises DependencyError without WeasyPrint or the libraries of the system that it needs.
    """
    page = Path(page)
    html = _printer()(filename=page)
    path = page.with_suffix(".pdf")
    with whole_file(path) as stream:
        html.write_pdf(stream)
    return path


def _printer() -> "type[HTML]":
    said = io.StringIO()  # where a library is missing the package prints before it raises
    try:
        with contextlib.redirect_stdout(said), warnings.catch_warnings():
            # It warns of libraries that its future versions will need.
            warnings.simplefilter("ignore", DeprecationWarning)
            from weasyprint import HTML
    except ImportError:
        raise DependencyError(
            tr("a PDF needs the package weasyprint"), remedy=tr("install it with: pip install weasyprint")
        ) from None
    except OSError as error:
        raise DependencyError(
            tr("a PDF needs libraries that WeasyPrint does not find on this computer"),
            received=str(error).partition("\n")[0],
            remedy=tr(
                "install Pango as the first steps of WeasyPrint's documentation say, or print the page from "
                "a browser"
            ),
        ) from None
    return HTML
