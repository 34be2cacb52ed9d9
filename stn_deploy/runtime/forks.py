"""What a fork of the process must not touch."""

from __future__ import annotations

import ctypes


def keep_for_ever(value: object) -> None:
    """Never free an object, not even when the interpreter exits.

    For objects of the parent process in its fork, whose end waits for threads that the fork does not have.
    """
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(value))
