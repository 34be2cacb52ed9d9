"""Importing a light part loads nothing heavy. Each check runs in an interpreter of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.repo.conftest import ROOT

TRAINING_LIBRARIES = ("torch", "onnx", "onnxscript", "onnx_ir", "tensorrt", "tensorrt_rtx", "tensorboard")
LIGHT = ("errors", "geometry", "artifact", "data", "pictures", "runtime", "cli")

# What each import must leave unloaded.
STAYS_UNLOADED = {
    "stn_deploy": (*TRAINING_LIBRARIES, "cv2", "numpy", "onnxruntime", "PIL"),
    "stn_deploy.geometry": (*TRAINING_LIBRARIES, "cv2", "onnxruntime", "PIL"),
    "stn_deploy.artifact": (*TRAINING_LIBRARIES, "cv2", "onnxruntime", "PIL"),
    "stn_deploy.data": (*TRAINING_LIBRARIES, "onnxruntime", "lmdb"),
    "stn_deploy.pictures": (*TRAINING_LIBRARIES, "onnxruntime", "PIL", "lmdb"),
    "stn_deploy.plugins": (*TRAINING_LIBRARIES, "cupy", "numpy"),
    # Arrays are CuPy's only where a new one is needed.
    "stn_deploy.plugins.arrays": (*TRAINING_LIBRARIES, "cupy", "ml_dtypes"),
    "stn_deploy.plugins.launch": (*TRAINING_LIBRARIES, "cupy"),
    "stn_deploy.plugins.library": (*TRAINING_LIBRARIES, "cupy", "numpy"),
    "stn_deploy.plugins.ahead_of_time": (*TRAINING_LIBRARIES, "cupy"),
    "stn_deploy.runtime": (*TRAINING_LIBRARIES, "onnxruntime", "PIL", "scipy"),
    "stn_deploy.runtime.ocr": ("onnxruntime", "tesserocr", "pytesseract", "rapidocr", "rapidocr_onnxruntime"),
    # Engines are built on devices that hold no torch.
    "stn_deploy.export.engine": ("torch", "onnxscript", "onnx_ir", "onnxruntime", "tensorrt", "tensorrt_rtx"),
    "stn_deploy.export.passes": ("torch", "onnxscript", "onnx_ir", "onnxruntime"),
    "stn_deploy.cli": (*TRAINING_LIBRARIES, "onnxruntime"),
}

BLOCK = f"""
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {TRAINING_LIBRARIES}:
            raise ImportError(name + " is blocked: this part must import without it")
sys.meta_path.insert(0, Blocker())
"""


def module_file(name: str) -> Path:
    return ROOT.joinpath(*name.split("."))


def run_python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", STAYS_UNLOADED)
def test_an_import_leaves_heavy_libraries_alone(name: str) -> None:
    loaded = f"[module for module in {STAYS_UNLOADED[name]} if module in sys.modules]"
    code = f"import json, sys, {name}; print(json.dumps({loaded}))"
    assert json.loads(run_python(code)) == []


@pytest.mark.parametrize("part", LIGHT)
def test_every_module_of_a_light_part_imports_without_training_libraries(part: str) -> None:
    start = module_file(f"stn_deploy.{part}")
    files = sorted(start.rglob("*.py")) or [start.with_suffix(".py")]
    files = [path for path in files if path.exists() and path.stem != "__main__"]
    assert files
    names = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in files
    ]
    run_python(BLOCK + "\n".join(f"import {name}" for name in names))
