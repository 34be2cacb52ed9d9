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
from stn_deploy.wording import counted

_ROOM = (96, 360)
"""Height and width that a picture may take, pixels."""
_LOWEST = 24
"""Where one picture of a pair is very wide, the other is still shown so high, pixels."""
_QUALITY = 88
_HEADINGS = ("engine", "raw", "straightened", "second opinion", "fixed", "broken")
_STYLE = """
body { font: 15px/1.4 system-ui, sans-serif; margin: 0 auto; padding: 1.5em; max-width: 70em; color: #222; }
div { overflow-x: auto; }
table { border-collapse: collapse; }
table.words { table-layout: fixed; width: 100%; }
table.words th { width: 40%; }
table.words th:first-child { width: 20%; }
th, td { padding: .4em .8em; border-bottom: 1px solid #ddd; text-align: left; vertical-align: middle; }
td.number { text-align: right; white-space: nowrap; }
img { display: block; max-width: 100%; height: auto; background: #eee; }
code { white-space: pre-wrap; overflow-wrap: anywhere; }
small { color: #666; overflow-wrap: anywhere; }
b { font-size: small; }
"""


class EvaluationReport:
    """Collects the pictures of changed words as they come, encoded; then writes the page."""

    def __init__(self) -> None:
        self._pictures: dict[tuple[str, str], tuple[str, str]] = {}

    def add(self, engine: str, case: Case, raw: NDArray[np.uint8], straight: NDArray[np.uint8]) -> None:
        """Take in a changed word; fits `evaluate` as its ``changed``."""
        height = _common_height(raw, straight)
        self._pictures[engine, case.name] = (_image(raw, height), _image(straight, height))

    def html(self, name: str, evaluations: Sequence[Evaluation], *, made_with: str) -> bytes:
        """The whole page, with nothing to load beside it; the same for the same evaluations.

        Args:
            name: what was evaluated.
            evaluations: of the same samples, one for each engine.
            made_with: a line on the model, its settings and the version.
        Returns:
            the file, UTF-8.
        """
        return "\n".join(self._lines(name, evaluations, made_with)).encode("utf-8", "backslashreplace")

    def _lines(self, name: str, evaluations: Sequence[Evaluation], made_with: str) -> Iterator[str]:
        first, title = evaluations[0], f"stn-deploy: {name}"
        yield "<!doctype html>"
        yield f'<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
        yield f"<style>{_STYLE}</style></head><body>"
        yield f"<h1>{escape(title)}</h1>"
        yield f"<p><small>{escape(made_with)}</small></p>"
        yield (
            f"<p>{counted(len(first.cases), 'word')}, {first.applied:.1%} straightened. "
            "Word accuracy: a-z and 0-9, case ignored; below it the gain over raw in percentage points and "
            "its 95&nbsp;% interval (paired bootstrap). Second opinion: the more confident of the readings "
            "before and after.</p>"
        )
        yield (
            "<p>Below the table, the grey number behind a reading is the engine's confidence, 0 to 1; the "
            "reading that the second opinion takes is marked.</p>"
        )
        yield from _table(evaluations)
        if first.skipped:
            yield f"<p>{skipped(first)}.</p>"
        if first.unreadable:
            yield f"<p>{counted(len(first.unreadable), 'crop')} could not be used:</p><ul>"
            yield from (f"<li>{escape(line)}</li>" for line in first.unreadable)
            yield "</ul>"
        for each in evaluations:
            changed = {"fixed": each.rectified.fixed, "broken": each.rectified.broken}
            for kind, cases in changed.items():
                if cases:
                    yield f"<h2>{escape(each.engine)}: {counted(len(cases), 'word')} {kind}</h2>"
                    yield from self._cases(each.engine, cases)
            if not any(changed.values()):
                yield f"<h2>{escape(each.engine)}: no word changed</h2>"
        yield "</body></html>\n"

    def _cases(self, engine: str, cases: Sequence[Case]) -> Iterator[str]:
        yield '<table class="words">'
        yield "<tr><th>label</th><th>crop</th><th>straightened</th></tr>"
        for case in cases:
            raw, straight = self._pictures.get((engine, case.name), ("", ""))
            taken = case.second_opinion_straightened
            yield (
                f"<tr><td><code>{escape(case.label)}</code><br><small>{escape(case.name)}</small></td>"
                f"<td>{raw}{_reading(case.raw, case.raw_confidence, taken=not taken)}</td>"
                f"<td>{straight}{_reading(case.rectified, case.rectified_confidence, taken=taken)}</td></tr>"
            )
        yield "</table>"


def _table(evaluations: Sequence[Evaluation]) -> Iterator[str]:
    yield f"<div><table><tr>{''.join(f'<th>{heading}</th>' for heading in _HEADINGS)}</tr>"
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
    yield "</table></div>"


def with_gain(outcome: Outcome) -> tuple[str, str, str]:
    """Accuracy, gain over raw, and its interval: 81.0%, +2.1 points, (+1.2 to +3.0)."""
    low, high = (100 * end for end in outcome.interval)
    return f"{outcome.accuracy:.1%}", f"{100 * outcome.gain:+.1f} points", f"({low:+.1f} to {high:+.1f})"


def skipped(evaluation: Evaluation) -> str:
    """How many samples were skipped, and why."""
    return f"{counted(evaluation.skipped, 'sample')} skipped: no letter a-z and no digit in the label"


def _reading(text: str, confidence: float, *, taken: bool) -> str:
    shown = f"<code>{escape(text)}</code>" if text else "<small>nothing</small>"
    mark = " <b>second opinion</b>" if taken else ""
    return f"{shown} <small>{confidence:.2f}</small>{mark}"


def _common_height(*pictures: NDArray[np.uint8]) -> int:
    """The height at which all are shown: they fit, and the tallest is at most doubled."""
    tallest = max(picture.shape[0] for picture in pictures)
    widest = max(picture.shape[1] / picture.shape[0] for picture in pictures)
    return max(_LOWEST, int(min(_ROOM[0], 2 * tallest, _ROOM[1] / widest)))


def _image(picture: NDArray[np.uint8], height: int) -> str:
    fitted = fit(picture, (height, _ROOM[1]))
    data = cv2.imencode(".jpg", fitted, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1].tobytes()
    height, width = fitted.shape[:2]
    source = f"data:image/jpeg;base64,{base64.b64encode(data).decode()}"
    return f'<img alt="" width="{width}" height="{height}" src="{source}">'
