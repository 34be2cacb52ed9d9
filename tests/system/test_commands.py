"""``info``, ``verify``, ``export`` and ``evaluate`` as a user runs them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import onnx
import pytest

from stn_deploy.export import rectifier_from_artifact
from stn_deploy.runtime import DEFAULT_MODEL
from stn_deploy.training import save_checkpoint
from tests.system.conftest import ROOT, SAMPLES, Run

BLOCKER = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Blocker())
from stn_deploy.cli import main
sys.argv = ["stn-deploy", *{arguments!r}]
main()
"""


def test_info_shows_the_spec(run: Run) -> None:
    shown = json.loads(run("info", "--json").stdout)
    assert shown["bytes"] == DEFAULT_MODEL.stat().st_size
    assert shown["transform"] == "thin_plate_spline"
    assert shown["recipe"]["name"] == "default"
    assert "thumbnail_size" in run("info").stdout


@pytest.mark.parametrize(("function", "left"), [("inline", 0), ("strip", 1)])
def test_export_compares_a_file_whatever_becomes_of_its_function(
    run: Run, tmp_path: Path, function: str, left: int
) -> None:
    save_checkpoint(rectifier_from_artifact(DEFAULT_MODEL), tmp_path / "checkpoint.safetensors")
    done = run("export", "checkpoint.safetensors", "-o", "changed.onnx", "--function", function)
    assert done.returncode == 0, done.stderr
    assert "all within tolerance" in done.stdout
    model = onnx.load(tmp_path / "changed.onnx")
    assert not model.functions
    assert sum(node.domain == "stn_deploy" for node in model.graph.node) == left
    assert ("only an engine with the plugin" in done.stdout) == (function == "strip")


def test_export_fixes_sizes_and_compares_the_file_at_them(run: Run, tmp_path: Path) -> None:
    save_checkpoint(rectifier_from_artifact(DEFAULT_MODEL), tmp_path / "checkpoint.safetensors")
    sizes = ["--batch", "3", "--canvas", "64x200", "--opset", "19"]
    done = run("export", "checkpoint.safetensors", "-o", "static.onnx", *sizes)
    assert done.returncode == 0, done.stderr
    assert "float32, batch 3, canvas 64 x 200: largest difference from torch" in " ".join(done.stdout.split())
    model = onnx.load(tmp_path / "static.onnx")
    assert [[dim.dim_value for dim in value.type.tensor_type.shape.dim] for value in model.graph.input] == [
        [3, 64, 200, 3],
        [3, 2],
    ]
    assert {opset.version for opset in model.opset_import if not opset.domain} == {19}
    again = run("verify", "static.onnx")
    assert again.returncode == 0, again.stderr
    assert "64 x 200" in again.stdout


def test_verify_compares_on_crops_of_one_s_own(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "crops"
    folder.mkdir()
    for name in ("arch.jpg", "straight_1.jpg"):
        (folder / name).write_bytes((SAMPLES / name).read_bytes())
    (folder / "broken.jpg").write_bytes(b"no picture")
    done = run("verify", "--data", "crops", "--json")
    assert done.returncode == 0, done.stderr
    assert {item["batch"] for item in json.loads(done.stdout)} == {1, 2}
    assert "left out: broken.jpg" in done.stderr


def test_verify_finds_the_shipped_rectifier_equal_on_all_paths(run: Run) -> None:
    done = run("verify", "--json")
    assert done.returncode == 0, done.stderr
    compared = json.loads(done.stdout)
    assert {item["path"] for item in compared} == {"ONNX Runtime, full graph", "ONNX Runtime + OpenCV, split"}
    hostile = [item for item in compared if item["theta"] is None]
    assert len(hostile) == 2
    for item in compared:
        assert item["theta"] is None or item["theta"] <= 1e-4
        assert item["pixels"] <= 1.0


def test_evaluate_on_the_samples(run: Run) -> None:
    pytest.importorskip("tesserocr", reason="evaluate needs the extra ocr")
    done = run("evaluate", SAMPLES, "--json")
    if "data is not installed" in done.stderr:
        pytest.skip("needs Tesseract's English data: apt install tesseract-ocr")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["words"] == len(list(SAMPLES.glob("*.jpg")))
    (engine,) = result["engines"]
    rectified = engine["rectified"]
    assert rectified["accuracy"] >= engine["raw"] + 0.3
    assert rectified["broken"] == []
    assert rectified["interval"][0] <= rectified["gain"] <= rectified["interval"][1]


def test_version_is_the_package_s() -> None:
    from stn_deploy import __version__

    command = [sys.executable, "-m", "stn_deploy.cli", "--version"]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == f"stn-deploy {__version__}"


@pytest.mark.parametrize(
    ("blocked", "arguments", "fix"),
    [
        (["onnxruntime"], ["rectify", str(SAMPLES), "-o", "out"], "stn-deploy[runtime]"),
        (["torch"], ["train", "-o", "out"], "stn-deploy[train]"),
        (["torch"], ["verify"], "stn-deploy[export]"),
        (["onnx"], ["export", "checkpoint", "-o", "x.onnx"], "stn-deploy[export]"),
        (["tesserocr", "pytesseract"], ["evaluate", str(SAMPLES)], "stn-deploy[ocr]"),
        (["rapidocr"], ["evaluate", str(SAMPLES), "--ocr", "rapidocr"], "stn-deploy[rapidocr]"),
    ],
)
def test_a_missing_package_names_its_extra(
    blocked: list[str], arguments: list[str], fix: str, tmp_path: Path
) -> None:
    program = BLOCKER.format(blocked=blocked, arguments=arguments)
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert fix in done.stderr
    assert (
        f"pip install -c constraints.txt '.{fix.removeprefix('stn-deploy')}' in the checkout" in done.stderr
    )
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()
