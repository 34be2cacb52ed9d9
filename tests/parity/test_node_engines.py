"""Every kind of the node in engines that users have: TensorRT-RTX builds it, the oldest ONNX Runtime agrees.

Each version runs in a process of its own, with its folder on PYTHONPATH; ``make engines`` installs them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn

from stn_deploy.export import export_network
from stn_deploy.export.node import NodeKind
from stn_deploy.geometry import AFFINE_3D, PROJECTIVE
from stn_deploy.stn import DepthProjection
from tests.engines.install import FOLDER, folder_of
from tests.networks import images, transformer
from tests.node_models import KINDS, SIZES, expected_of, inputs_for, nodes_model, words
from tests.tolerances import SAMPLE

ROOT = Path(__file__).resolve().parents[2]


def in_engine(name: str, script: str, jobs: list[Any]) -> str:
    """What a script of tests/engines says to jobs, with one engine on its path."""
    folder = folder_of(name)
    if folder is None:
        pytest.skip(f"needs {FOLDER / name}: make engines installs it where it has a wheel")
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests" / "engines" / script)],
        input=json.dumps(jobs),
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def shapes_of(kind: NodeKind) -> dict[str, list[list[int]]]:
    """Smallest, usual and largest shapes: batch and size of U are free, V is not."""
    fixed = {name: list(value.shape) for name, value in inputs_for(kind).items()}
    found = {name: [[n, *fixed[name][1:]] for n in (1, 4, 16)] for name in ("theta", "extents")}
    found["basis"] = [fixed["basis"]] * 3
    found["source"] = [[n, 2, *[size] * kind.dimensions] for n, size in ((1, 3), (4, 16), (16, 64))]
    return found


@pytest.mark.tensorrt
@pytest.mark.parametrize("version", ["1.7", "1.5"])
def test_tensorrt_builds_every_kind_also_on_volumes(version: str, tmp_path: Path) -> None:
    jobs = []
    for index, kind in enumerate(KINDS):
        model = tmp_path / f"{index}.onnx"
        model.write_bytes(nodes_model([kind]).SerializeToString())
        jobs.append({"model": str(model), "shapes": shapes_of(kind)})
    errors = json.loads(in_engine(f"tensorrt-rtx-{version}", "build_networks.py", jobs))
    assert {words(kind): error for kind, error in zip(KINDS, errors, strict=True) if error} == {}


@pytest.mark.tensorrt
@pytest.mark.parametrize("version", ["1.7", "1.5"])
def test_tensorrt_builds_networks_of_a_user_s_own(version: str, tmp_path: Path) -> None:
    jobs = []
    networks = {
        "flat": (transformer(PROJECTIVE), (2, 12, 17)),
        "volume": (nn.Sequential(transformer(AFFINE_3D), DepthProjection()), (2, 4, 7, 6)),
    }
    for name, (network, shape) in networks.items():
        model = tmp_path / f"{name}.onnx"
        export_network(network, images(2, *shape), model)
        jobs.append({"model": str(model), "shapes": {"input": [[n, *shape] for n in (1, 8, 32)]}})
    assert json.loads(in_engine(f"tensorrt-rtx-{version}", "build_networks.py", jobs)) == [None, None]


def test_onnx_runtime_1_17_gives_the_same_numbers(tmp_path: Path) -> None:
    jobs, cases = [], []
    for index, kind in enumerate(KINDS):
        model = tmp_path / f"{index}.onnx"
        model.write_bytes(nodes_model([kind]).SerializeToString())
        inputs = inputs_for(kind, pad=2)
        np.savez(model.with_suffix(".npz"), **inputs)  # type: ignore[arg-type]
        jobs.append([str(model), str(model.with_suffix(".npz"))])
        cases.append((kind, model, inputs))
    assert in_engine("onnxruntime-1.17", "run_models.py", jobs).startswith("1.17")
    for kind, model, inputs in cases:
        with np.load(model.with_suffix(".out.npz")) as outputs:
            sampled = outputs["V0"]
        assert sampled.shape[2:] == SIZES[kind.dimensions][1]
        assert np.abs(sampled - expected_of(kind, inputs)).max() < SAMPLE, words(kind)
