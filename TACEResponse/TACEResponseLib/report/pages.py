"""HTML pages from `templates/`: what is put in is escaped, and a name that is missing is an error.

A page says its texts in the reader's language with `tr`, `several` and `language_tag`.
"""

import re

import jinja2

from TACEResponseLib.messages.language import language_tag, several, tr

#: Where a name may be broken, and a word of more than 32 letters, such as a hash.
BREAKS = re.compile(r"(?<=\w[_-])(?=\w)|(?<=[^\s_-]{32})(?=\S{4})")


def render_page(template: str, **content) -> str:
    """The page that a file of `templates/` becomes with this content."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("TACEResponseLib.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["pieces"] = pieces
    environment.globals |= {"tr": tr, "several": several, "language_tag": language_tag}
    return environment.get_template(template).render(**content)


def pieces(text: str) -> list[str]:
    """The text in parts between which a line may break: after _ and -, and anywhere far into a long word."""
    return BREAKS.split(text)
