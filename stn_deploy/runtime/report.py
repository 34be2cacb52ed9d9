"""An evaluation as one HTML file: the table, and the crops whose reading the rectifier changed."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from html import escape

import cv2
import numpy as np
from numpy.typing import NDArray

from stn_deploy.pictures import fit
from stn_deploy.runtime.evaluation import Case, Evaluation, Outcome

_ROOM = (96, 360)
"""Height and width that a picture may take, pixels."""
_QUALITY = 88
_HEADINGS = ("engine", "raw", "with the rectifier", "second opinion", "fixed", "broken")
_STYLE = """
body { font: 15px/1.4 system-ui, sans-serif; margin: 2em auto; max-width: 75em; color: #222; }
table { border-collapse: collapse; }
th, td { padding: .4em .8em; border-bottom: 1px solid #ddd; text-align: left; vertical-align: middle; }
td.number { text-align: right; white-space: nowrap; }
img { display: block; background: #eee; }
code { white-space: pre-wrap; overflow-wrap: anywhere; }
small { color: #666; }
"""


class EvaluationReport:
    """Collects the pictures of changed words as they come, encoded; then writes the page."""

    def __init__(self) -> None:
        self._pictures: dict[tuple[str, str], tuple[str, str]] = {}

    def add(self, engine: str, case: Case, raw: NDArray[np.uint8], straight: NDArray[np.uint8]) -> None:
        """Take in a changed word; fits `evaluate` as its ``changed``."""
        self._pictures[engine, case.name] = (_image(raw), _image(straight))

    def html(self, title: str, evaluations: Sequence[Evaluation]) -> bytes:
        """The whole page, with nothing to load beside it.

        Args:
            title: what was evaluated.
            evaluations: of the same samples, one for each engine.
        Returns:
            the file, UTF-8.
        """
        return "\n".join(self._lines(title, evaluations)).encode("utf-8", "backslashreplace")

    def _lines(self, title: str, evaluations: Sequence[Evaluation]) -> Iterator[str]:
        first = evaluations[0]
        yield "<!doctype html>"
        yield f'<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        yield f"<style>{_STYLE}</style></head><body>"
        yield f"<h1>{escape(title)}</h1>"
        yield (
            f"<p>{len(first.cases)} words, {first.applied:.1%} straightened. "
            "Word accuracy: a-z and 0-9, case ignored; below it the gain over raw and its 95&nbsp;% interval "
            "(paired bootstrap). Second opinion: the more confident of the readings before and after.</p>"
        )
        yield from _table(evaluations)
        if first.skipped:
            yield f"<p>{first.skipped} samples skipped: their labels hold no letter a-z and no digit.</p>"
        if first.unreadable:
            yield f"<p>{len(first.unreadable)} crops could not be used:</p><ul>"
            yield from (f"<li>{escape(line)}</li>" for line in first.unreadable)
            yield "</ul>"
        for evaluation in evaluations:
            for kind, cases in (
                ("fixed", evaluation.rectified.fixed),
                ("broken", evaluation.rectified.broken),
            ):
                yield f"<h2>{escape(evaluation.engine)}: {len(cases)} words {kind}</h2>"
                if cases:
                    yield from self._cases(evaluation.engine, cases)
        yield "</body></html>\n"

    def _cases(self, engine: str, cases: Sequence[Case]) -> Iterator[str]:
        yield "<table><tr><th>label</th><th>crop</th><th>straightened</th></tr>"
        for case in cases:
            raw, straight = self._pictures.get((engine, case.name), ("", ""))
            yield (
                f"<tr><td><code>{escape(case.label)}</code><br><small>{escape(case.name)}</small></td>"
                f"<td>{raw}{_reading(case.raw, case.raw_confidence)}</td>"
                f"<td>{straight}{_reading(case.rectified, case.rectified_confidence)}</td></tr>"
            )
        yield "</table>"


def _table(evaluations: Sequence[Evaluation]) -> Iterator[str]:
    yield f"<table><tr>{''.join(f'<th>{heading}</th>' for heading in _HEADINGS)}</tr>"
    for each in evaluations:
        cells = (
            f"{each.raw_accuracy:.1%}",
            "<br>".join(with_gain(each.rectified)),
            "<br>".join(with_gain(each.second_opinion)),
            str(len(each.rectified.fixed)),
            str(len(each.rectified.broken)),
        )
        numbers = "".join(f'<td class="number">{cell}</td>' for cell in cells)
        yield f"<tr><td>{escape(each.engine)}</td>{numbers}</tr>"
    yield "</table>"


def with_gain(outcome: Outcome) -> tuple[str, str, str]:
    """Accuracy, gain over raw, and its interval, in percent: 81.0%, +2.1%, (+1.2%, +3.0%)."""
    low, high = outcome.interval
    return f"{outcome.accuracy:.1%}", f"{outcome.gain:+.1%}", f"({low:+.1%}, {high:+.1%})"


def _reading(text: str, confidence: float) -> str:
    shown = f"<code>{escape(text)}</code>" if text else "<small>nothing</small>"
    return f"{shown} <small>{confidence:.2f}</small>"


def _image(picture: NDArray[np.uint8]) -> str:
    fitted = fit(picture, _ROOM, largest=2)
    data = cv2.imencode(".jpg", fitted, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1].tobytes()
    height, width = fitted.shape[:2]
    source = f"data:image/jpeg;base64,{base64.b64encode(data).decode()}"
    return f'<img alt="" width="{width}" height="{height}" src="{source}">'
