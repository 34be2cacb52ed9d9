"""Small changes of an exported file, each in its own module: a model in, a changed copy out."""

from __future__ import annotations

from stn_deploy.export.passes.freeze import freeze
from stn_deploy.export.passes.inline_function import inline_function
from stn_deploy.export.passes.rewrite import Pass, rewrite
from stn_deploy.export.passes.strip_function import strip_function

__all__ = ["Pass", "freeze", "inline_function", "rewrite", "strip_function"]
