"""Small changes of an exported file, each in its own module: a model in, a changed copy out."""

from __future__ import annotations

from stn_deploy.export.passes.any_file import rewrite_any
from stn_deploy.export.passes.float16 import float16
from stn_deploy.export.passes.freeze import freeze
from stn_deploy.export.passes.given_grid import give_grids
from stn_deploy.export.passes.inline_function import inline_function
from stn_deploy.export.passes.int8 import int8
from stn_deploy.export.passes.rewrite import Pass, rewrite
from stn_deploy.export.passes.strip_function import strip_function

__all__ = [
    "Pass",
    "float16",
    "freeze",
    "give_grids",
    "inline_function",
    "int8",
    "rewrite",
    "rewrite_any",
    "strip_function",
]
