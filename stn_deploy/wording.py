"""Words and numbers for messages."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """A number of things, such as 1 word and 2 words."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def one_line(text: str) -> str:
    """A text without line breaks, tabs and runs of spaces."""
    return " ".join(text.split())
