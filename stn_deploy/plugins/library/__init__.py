"""The plugin as a C++ library for TensorRT 10.0 and newer, and what finds or builds it.

Python needs it for TensorRT before 10.9, and where C++ programs parse the .onnx file themselves; from 10.9 on
`stn_deploy.plugins.ahead_of_time` does without.
"""

from __future__ import annotations

from stn_deploy.plugins.library.build import Progress, build_library
from stn_deploy.plugins.library.cache import cache_folder, cached_build, cached_files
from stn_deploy.plugins.library.compiler import Compiler, find_compiler
from stn_deploy.plugins.library.find import VARIABLE, find_library, named_library
from stn_deploy.plugins.library.headers import Headers, find_headers
from stn_deploy.plugins.library.marker import LibraryInfo, expect_for, read_marker
from stn_deploy.plugins.library.recipe import Recipe

__all__ = [
    "VARIABLE",
    "Compiler",
    "Headers",
    "LibraryInfo",
    "Progress",
    "Recipe",
    "build_library",
    "cache_folder",
    "cached_build",
    "cached_files",
    "expect_for",
    "find_compiler",
    "find_headers",
    "find_library",
    "named_library",
    "read_marker",
]
