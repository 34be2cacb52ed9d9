"""Figures of a GPU are measured on one or not at all; what is kept of them can be read."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from stn_deploy.errors import EngineError
from stn_deploy.plugins.launch.driver import Driver


def has_gpu() -> bool:
    try:
        Driver().context(0)
    except EngineError:
        return False
    return True


@pytest.mark.parametrize("name", ["plugins", "gpu_runtime"])
def test_without_a_gpu_nothing_is_measured_and_nothing_kept(root: Path, name: str) -> None:
    if has_gpu():
        pytest.skip("says what happens where there is no GPU; here is one")
    kept = root / "benchmarks" / "results" / f"{name}.json"
    before = kept.read_bytes() if kept.exists() else None
    script = root / "benchmarks" / f"{name}.py"
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False)
    assert done.returncode == 77, "make bench goes on after this status alone"
    assert "not measured: needs an NVIDIA GPU" in done.stderr
    assert (kept.read_bytes() if kept.exists() else None) == before


def test_make_goes_on_after_a_script_that_cannot_measure(root: Path, tmp_path: Path) -> None:
    """The loop of make bench, on scripts of which one cannot, one can and one fails."""
    recipe = (root / "Makefile").read_text(encoding="utf-8").split("\nbench:")[1].split("\n\n")[0]
    loop = recipe[recipe.index("@set -e") :].replace("@set", "set", 1)
    (tmp_path / "benchmarks").mkdir()
    for name, program in (("a", "raise SystemExit(77)"), ("b", "print('measured')")):
        (tmp_path / "benchmarks" / f"{name}.py").write_text(program)
    makefile = f"BIN := {Path(sys.executable).parent}\nbench:\n\t{loop}\n"
    (tmp_path / "Makefile").write_text(makefile)

    def made() -> subprocess.CompletedProcess[str]:
        return subprocess.run(["make", "bench"], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert "measured" in made().stdout
    assert made().returncode == 0
    (tmp_path / "benchmarks" / "aa.py").write_text("raise SystemExit(1)")
    assert made().returncode != 0
    assert "measured" not in made().stdout


def spread(value: float) -> dict[str, float]:
    return {"median": value, "p10": value, "p90": value, "runs": 30}


def record() -> dict[str, Any]:
    """As benchmarks/plugins.py keeps it; the numbers are nobody's."""

    def row(**ratios: float) -> dict[str, Any]:
        return {
            "us": {"stn-deploy": spread(12.5), "torch eager": spread(50.0)},
            "share_of_copy_bandwidth": spread(0.625),
            "us_above_an_empty_launch": spread(3.25),
            "times_as_fast_as": {name.replace("_", " "): spread(ratio) for name, ratio in ratios.items()},
        }

    return {
        "versions": {"torch": "2.99"},
        "result": {
            "gpu": {"name": "a GPU", "driver": "999.1"},
            "settings": {"first": row(torch_eager=4.0, half=3.5), "second": row(torch_eager=2.0)},
            "training": {
                "setting": "both ways",
                "us": {"stn-deploy": spread(80.0)},
                "times_as_fast_as": {"torch eager": spread(2.5)},
            },
            "host_us_of_a_call": {"torch eager": spread(31.0)},
            "goals": [
                {"goal": "first: reached", "found": 4.0, "reached": True},
                {"goal": "second: 3 times as fast", "found": 2.0, "reached": False},
            ],
        },
    }


def test_a_row_is_written_for_each_setting_and_what_is_missed_is_named(root: Path, tmp_path: Path) -> None:
    (tmp_path / "plugins.json").write_text(json.dumps(record()))
    program = (
        "import pathlib, sys, write_readme; write_readme.RESULTS = pathlib.Path(sys.argv[1]); "
        "print(write_readme.plugins())"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    done = subprocess.run(command, cwd=root / "benchmarks", capture_output=True, text=True, check=True)
    assert "| first | 12.5 | 62% | 3.2 | 4.0 | 3.5 |" in done.stdout
    assert "| second | 12.5 | 62% | 3.2 | 2.0 |  |" in done.stdout
    assert "Not reached: second: 3 times as fast (found 2.00)." in done.stdout
    assert "first: reached" not in done.stdout
    assert "Measured on a GPU, driver 999.1, torch 2.99" in done.stdout


def test_what_fails_is_named_and_the_rest_is_kept(root: Path, tmp_path: Path) -> None:
    """A GPU may be lent but once: one setting that fails takes no other figure with it."""
    program = """
import pathlib, sys
import _record, plugins
_record.RESULTS, _record.ROOT = pathlib.Path(sys.argv[1]) / "results", pathlib.Path(sys.argv[1])
plugins.need_gpu = lambda: None
plugins.described = lambda: {"name": "a GPU"}
plugins.ReferenceKernels = lambda: None
first, second, *_ = plugins.settings()
plugins.settings = lambda: [first, second]
row = {"us": {"stn-deploy": {"median": 1.0}}, "share_of_copy_bandwidth": {"median": 0.5}}
row |= {"times_as_fast_as": {}, "us_above_an_empty_launch": {"median": 9.0}}
def compare(setting, *rest):
    assert setting is not first, "another warp"
    return row
def training(missing):
    raise RuntimeError("out of luck")
def calls(missing):
    saved = (_record.RESULTS / "plugins.json").read_text()
    assert str(second) in saved, "what was measured was not kept at once"
    return {}
plugins.compare, plugins.training, plugins.calls = compare, training, calls
sys.argv = sys.argv[:1]
plugins.main()
"""
    command = [sys.executable, "-c", program, str(tmp_path)]
    done = subprocess.run(command, cwd=root / "benchmarks", capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    result = json.loads((tmp_path / "results" / "plugins.json").read_text())["result"]
    assert len(result["settings"]) == 1
    assert result["training"] is None
    assert result["host_us_of_a_call"] == {}
    assert [goal["reached"] for goal in result["goals"]] == [False]
    first, training = result["failed"]
    assert "float16, bilinear: AssertionError: another warp" in first
    assert "forward and backward" in training
    assert "out of luck" in training
    assert "another warp" in done.stderr


def test_rounding_makes_no_other_gradient_and_a_mistake_does(root: Path) -> None:
    """Where rounding takes a position across a pixel's centre one number changes by much, and rightly so."""
    program = """
import torch
import plugins
from torch.nn import functional as F
setting = plugins.TRAINING
generator = torch.Generator().manual_seed(0)
grids = plugins.GridGenerator(setting.transform, setting.output)
identity = torch.tensor(setting.transform.identity, dtype=torch.float32)
noise = torch.randn(64, len(identity), generator=generator)
theta = grids.coefficients(identity + 0.02 * noise).transpose(1, 2).contiguous().requires_grad_()
source = torch.rand(64, 3, *setting.size, generator=generator)
upstream = torch.rand(64, 3, *setting.output, generator=generator)
def exact(source, theta):
    grid = (grids.basis.double() @ theta.double()).float().reshape(64, *setting.output, 2)
    return F.grid_sample(source, grid, "bilinear", "border", align_corners=False)
eager = plugins.warp_of_torch(setting, grids.basis)
one, other = (torch.autograd.grad(warp(source, theta), theta, upstream)[0] for warp in (eager, exact))
assert (one - other).abs().max() > 1e-3 * other.abs().max(), "no position crossed: this shows nothing"
assert plugins.is_same_gradient(one, other)
assert not plugins.is_same_gradient(one.flip(-1), other)
assert not plugins.is_same_gradient(one * 1.05, other)
assert not plugins.is_same_gradient(one * float("nan"), other)
"""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=root / "benchmarks", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
