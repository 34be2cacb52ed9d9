"""An exported file runs unchanged in ONNX Runtime 1.17 and in the newest, with the same numbers."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from stn_deploy.artifact import read_artifact
from stn_deploy.export.crops import crops_of
from stn_deploy.export.passes import float16, int8, rewrite
from stn_deploy.runtime import DEFAULT_MODEL
from stn_deploy.runtime.canvas import pack_canvas
from tests.engines.install import folder_of
from tests.pictures import Image
from tests.tolerances import PIXEL_TWO_ENGINES, SCORE, THETA

SCRIPT = Path(__file__).resolve().parents[1] / "engines" / "run_ort.py"
OUTPUTS = ("rectified", "theta", "score")
SMALLEST_STD = 60.0
"""Of the random rectifier; the full graph's pixels are in units of it."""


def test_the_same_file_gives_the_same_numbers_in_1_17_and_in_the_newest(
    model: Path, crops: list[Image], tmp_path: Path
) -> None:
    old = folder_of("onnxruntime-1.17")
    if old is None:
        pytest.skip("needs ONNX Runtime 1.17: make engines installs it where it has a wheel")
    files = {name: tmp_path / f"{name}.onnx" for name in ("shipped", "random", "float16", "int8")}
    files["shipped"].write_bytes(DEFAULT_MODEL.read_bytes())
    files["random"].write_bytes(model.read_bytes())
    rewrite(model, files["float16"], float16)
    rewrite(model, files["int8"], partial(int8, crops=crops_of(crops, read_artifact(model)[1])))
    images, extents = pack_canvas(crops)
    np.savez(tmp_path / "in.npz", images=images, extents=extents)
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(old)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().startswith("1.17.")
    new = {name: run(path, images, extents) for name, path in files.items()}
    then = {name: np.load(tmp_path / f"out_{name}.npz") for name in files}
    for name, now in new.items():
        assert {key: now[key].dtype for key in now} == {key: then[name][key].dtype for key in now}
    for name in ("shipped", "random"):
        for key, tolerance in (
            ("rectified", PIXEL_TWO_ENGINES / SMALLEST_STD),
            ("theta", THETA),
            ("score", SCORE),
        ):
            np.testing.assert_allclose(then[name][key], new[name][key], rtol=0, atol=tolerance)
    # Another kernel rounds another way now and then: by the last bit in half precision, by a step in INT8.
    # That is noise of the size that the precision has anyway.
    for name in ("float16", "int8"):
        own = np.abs(new[name]["theta"] - new["random"]["theta"]).mean()
        assert np.abs(then[name]["theta"] - new[name]["theta"]).mean() < 0.5 * own


def run(path: Path, images: np.ndarray, extents: np.ndarray) -> dict[str, np.ndarray]:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    values = session.run(list(OUTPUTS), {"images": images, "extents": extents})
    return dict(zip(OUTPUTS, values, strict=True))
