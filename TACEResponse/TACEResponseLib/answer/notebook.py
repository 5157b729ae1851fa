"""An answer in a notebook and a console: short, in the words of every other place, and without the ID.

A notebook keeps what it shows and is passed on, so the patient is not named; `patient_id` says it. Every
function takes a `Prediction`, which imports this file.
"""

from html import escape

from TACEResponseLib.messages.language import tr

from . import words
from .numbers import percent

#: Colours that can be read on the light and on the dark page of a notebook.
BAR, CARE = "#3b82c4", "#b26a00"
BOLD = "font-weight: bold"  # not a text
#: An HTML row: model, probability, and its share of a bar.
ROW = (
    '<tr><td style="text-align: left">{model}</td><td style="text-align: right">{percent}</td>'  # not a text
    '<td style="width: 12em"><div style="width: {share:.1f}%; height: 0.6em; background: {colour}">'
    "</div></td></tr>"
)


def in_short(prediction) -> str:
    """One line: banner, headline, class, the verdict on similarity, and the statement of every answer."""
    similar = prediction.similarity.in_short()  # why is in the long form
    read = prediction.reading()
    parts = filter(None, (read.banner, read.headline, read.verdict, similar))
    answer = " ".join(tr("{text}.", text=part) for part in parts)
    return tr("<Prediction: {answer} {statement}>", answer=answer, statement=prediction.statement())


def as_html(prediction) -> str:
    """A piece of HTML for a notebook: statement, answer, how sure, every model, tumour and warnings."""
    similar, read = words.similarity(prediction.similarity), prediction.reading()
    care = words.needs_care(prediction.similarity)
    grey = "; opacity: 0.6" if read.kind == "outside" else ""
    parts = [
        _paragraph(prediction.statement(), BOLD),
        *([_careful(read.banner)] if read.banner else []),
        *([_careful(similar)] if care else []),
        _paragraph(read.headline, f"font-size: 1.3em{grey}"),
        *([_sentence(read.verdict, BOLD)] if read.verdict else []),
        *map(_sentence, words.certainty_lines(prediction)),
        *([] if care else [_sentence(similar)]),
        *([_sentence(prediction.outline.in_words())] if prediction.outline.source else []),
        _paragraph(tr("Answered by: {model}.", model=words.model_title(prediction.headline))),
        _sentence(words.lesions(prediction.lesions)),
        _models(prediction),
        *map(_careful, prediction.warnings),
        _paragraph(tr("Model {bundle}", bundle=prediction.bundle_id), "opacity: 0.7"),
    ]
    return f'<div class="tace-response" style="max-width: 48em">{"".join(parts)}</div>'  # not a text


def _models(prediction) -> str:
    """A bar a model; the one that answers is the strong one."""
    rows = (
        ROW.format(
            model=escape(words.model_title(name)),
            percent=escape(percent(probability)),
            share=100 * probability,
            colour=BAR if name == prediction.headline else f"{BAR}80",
        )
        for name, probability in prediction.probabilities.items()
    )
    left = 'style="text-align: left"'  # not a text
    model, probability = escape(tr("model")), escape(tr("probability of response"))
    head = f'<tr><th {left}>{model}</th><th {left} colspan="2">{probability}</th></tr>'
    return f"<table>{head}{''.join(rows)}</table>"


def _paragraph(text: str, style: str = "") -> str:
    return f'<p style="margin: 0.2em 0; {style}">{escape(text)}</p>'


def _sentence(text: str, style: str = "") -> str:
    return _paragraph(tr("{text}.", text=text), style)


def _careful(text: str) -> str:
    return _paragraph(text, f"border-left: 4px solid {CARE}; padding-left: 0.6em")  # not a text
