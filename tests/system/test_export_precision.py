"""``export --precision`` as a user runs it: measured, written, or refused with nothing written."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from stn_deploy.artifact import read_artifact
from stn_deploy.export import rectifier_from_artifact
from stn_deploy.export.verification import verification_images
from stn_deploy.runtime import DEFAULT_MODEL, Rectifier
from stn_deploy.training import save_checkpoint
from tests.system.conftest import SAMPLES, Run


@pytest.fixture(autouse=True)
def checkpoint(tmp_path: Path) -> Path:
    """The shipped rectifier as a checkpoint."""
    path = tmp_path / "checkpoint.safetensors"
    save_checkpoint(rectifier_from_artifact(DEFAULT_MODEL), path)
    return path


@pytest.fixture
def crops(tmp_path: Path) -> Path:
    """A folder ``crops`` with twenty rendered words and labels without quads."""
    folder = tmp_path / "crops"
    folder.mkdir()
    rows = ["file\ttext"]
    for index, image in enumerate(verification_images(20, seed=5)):
        assert cv2.imwrite(str(folder / f"{index}.png"), image)
        rows.append(f"{index}.png\tword")
    (folder / "labels.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder


def left(tmp_path: Path) -> list[str]:
    """What lies beside the inputs."""
    return sorted(
        path.name for path in tmp_path.iterdir() if path.name not in ("checkpoint.safetensors", "crops")
    )


def test_int8_is_measured_on_held_out_crops_and_written(run: Run, crops: Path, tmp_path: Path) -> None:
    done = run(
        *("export", "checkpoint.safetensors", "-o", "int8.onnx"),
        *("--precision", "int8", "--calibration", "crops"),
    )
    assert done.returncode == 0, done.stderr
    assert "control points of int8" in done.stdout
    assert "measured on 10 crops" in done.stdout
    assert re.search(r"text heights\W+0\.0\d+\W+0\.0\d+\W+0\.\d+", done.stdout), done.stdout
    assert "all within tolerance" in done.stdout
    spec = read_artifact(tmp_path / "int8.onnx")[1]
    assert spec.precision == "int8"
    assert spec.recipe["calibration"]["crops"] == 10
    assert left(tmp_path) == ["int8.onnx"]
    assert (tmp_path / "int8.onnx").stat().st_size < 0.4 * DEFAULT_MODEL.stat().st_size
    arch = cv2.imread(str(SAMPLES / "arch.jpg"))
    assert Rectifier(tmp_path / "int8.onnx")(np.asarray(arch, np.uint8)).applied


def test_fp16_needs_no_dataset(run: Run, tmp_path: Path) -> None:
    done = run(
        "export", "checkpoint.safetensors", "-o", "fp16.onnx", "--precision", "fp16", "--size", "48x320"
    )
    assert done.returncode == 0, done.stderr
    assert "measured on 24 crops" in done.stdout
    spec = read_artifact(tmp_path / "fp16.onnx")[1]
    assert (spec.precision, spec.output_size) == ("float16", (48, 320))
    assert left(tmp_path) == ["fp16.onnx"]


def test_fp16_is_measured_on_a_folder_of_pictures_where_one_is_named(
    run: Run, crops: Path, tmp_path: Path
) -> None:
    (crops / "labels.tsv").unlink()
    (crops / "bad.png").write_bytes(b"no picture")
    done = run(
        *("export", "checkpoint.safetensors", "-o", "fp16.onnx", "--function", "inline"),
        *("--precision", "fp16", "--calibration", "crops"),
    )
    assert done.returncode == 0, done.stderr
    assert "20 crops" in done.stdout
    assert "left out: bad.png" in done.stderr


def test_the_crops_alone_decide_how_far_theta_may_move(run: Run, tmp_path: Path) -> None:
    """Calibrated on empty pictures the file is of no use for words, but for such pictures it is."""
    folder = tmp_path / "crops"
    folder.mkdir()
    for index in range(8):
        assert cv2.imwrite(str(folder / f"{index}.png"), np.full((30, 60 + index, 3), 100 + index, np.uint8))
    done = run(
        *("export", "checkpoint.safetensors", "-o", "int8.onnx"),
        *("--precision", "int8", "--calibration", "crops", "--max-theta-error", "3"),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "TOO FAR" not in done.stdout
    on_words = run("verify", "int8.onnx")
    assert on_words.returncode == 1
    assert "TOO FAR" in on_words.stdout


@pytest.mark.parametrize("function", ["inline", "strip"])
def test_a_function_is_changed_in_a_lower_precision_too(
    run: Run, crops: Path, tmp_path: Path, function: str
) -> None:
    done = run(
        *("export", "checkpoint.safetensors", "-o", "int8.onnx", "--function", function),
        *("--precision", "int8", "--calibration", "crops"),
    )
    assert done.returncode == 0, done.stderr
    data, spec = read_artifact(tmp_path / "int8.onnx")
    assert spec.precision == "int8"
    assert (b"plugin_namespace" in data) == (function == "strip")


def test_beyond_the_bound_nothing_is_written_and_it_can_be_accepted(
    run: Run, crops: Path, tmp_path: Path
) -> None:
    command = ("export", "checkpoint.safetensors", "-o", "int8.onnx", "--precision", "int8")
    done = run(*command, "--calibration", "crops", "--max-theta-error", "0.0001")
    assert done.returncode == 2
    assert "within 0.0001 text heights of those in float32, got 0.0" in done.stderr
    assert "too far; nothing is written" in done.stderr
    assert "--max-theta-error" in done.stderr
    assert left(tmp_path) == []
    done = run(*command, "--calibration", "crops", "--max-theta-error", "0.5")
    assert done.returncode == 0, done.stderr
    assert left(tmp_path) == ["int8.onnx"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--precision", "fp8"], "--precision: expected one of fp32, fp16, int8, got 'fp8'"),
        (["--precision", "int8"], "--precision int8: expected --calibration"),
        (["--calibration", "crops"], "--calibration: expected only with --precision fp16 or int8, got crops"),
        (["--max-theta-error", "0.1"], "--max-theta-error: expected only with --precision fp16 or int8"),
        (["--precision", "fp16", "--max-theta-error", "-1"], "expected text heights above 0"),
        (["--precision", "fp16", "--max-theta-error", "nan"], "expected text heights above 0"),
        (["--precision", "int8", "--calibration", "absent"], "absent: no such dataset"),
        (["--precision", "int8", "--calibration", "checkpoint.safetensors"], "expected a folder or a zip"),
        (["--precision", "int8", "--calibration", "nothing"], "nothing: expected pictures, or a dataset"),
        (["--precision", "int8", "--calibration", "unlisted"], "unlisted: labels.tsv"),
        (["--precision", "int8", "--calibration", "unreadable"], "unreadable: expected crops, got none"),
        (["--precision", "int8", "--calibration", "single"], "expected at least 2 crops"),
    ],
)
def test_bad_input_is_named_and_nothing_is_written(
    run: Run, crops: Path, tmp_path: Path, options: list[str], message: str
) -> None:
    for name in ("nothing", "unlisted", "unreadable", "single"):
        (tmp_path / name).mkdir()
    (tmp_path / "unlisted" / "labels.tsv").write_text("file\ttext\n")
    for name in ("a.png", "b.png"):
        (tmp_path / "unreadable" / name).write_bytes(b"no picture")
    (tmp_path / "single" / "a.png").write_bytes((crops / "0.png").read_bytes())
    before = left(tmp_path)
    done = run("export", "checkpoint.safetensors", "-o", "low.onnx", *options)
    assert done.returncode == 2, done.stdout
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert left(tmp_path) == before
