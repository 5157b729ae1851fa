"""HTML pages from `templates/`: what is put in is escaped, and a name that is missing is an error."""

import jinja2


def render_page(template: str, **content) -> str:
    """The page that a file of `templates/` becomes with this content."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("TACEResponseLib.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template(template).render(**content)
