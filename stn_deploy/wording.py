"""Numbers of things in sentences."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """A number of things, such as 1 word and 2 words."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
