"""Weights of published recognisers: what is found in them, and what is refused and why."""

from __future__ import annotations

import dataclasses
import io
import pickle
import re
import sys
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from stn_deploy.errors import ArgumentError, ArtifactError
from stn_deploy.export.importing import FAMILIES, import_rectifier, open_weights
from tests import published
from tests.published import Published, Weights

TRBA = published.trba()
ASTER = published.aster()
SMALL = published.paddle_tps()


def saved(weights: object, folder: Path, name: str = "weights.pth") -> Path:
    path = folder / name
    if name.endswith(".pth"):
        torch.save(weights, path)
    else:
        path.write_bytes(pickle.dumps(weights, protocol=4))
    return path


def arrays(original: Published) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in original.weights.items()}


# --- opening ----------------------------------------------------------------------------------------------


def test_the_same_weights_come_out_of_every_format(tmp_path: Path) -> None:
    weights = {name: value for name, value in TRBA.weights.items() if value.is_floating_point()}
    plain = {name: value.numpy() for name, value in weights.items()}
    saved(TRBA.weights, tmp_path, "a.pth")
    torch.save({"state_dict": weights, "epoch": 3}, tmp_path / "b.pt")
    torch.save({"model": {"state_dict": weights}}, tmp_path / "c.tar")
    torch.save(weights, tmp_path / "d.bin", _use_new_zipfile_serialization=False)
    save_file(weights, tmp_path / "e.safetensors")
    np.savez(tmp_path / "f.npz", **plain)  # type: ignore[arg-type]
    for path in sorted(tmp_path.iterdir()):
        found = open_weights(path)
        assert found.keys() == weights.keys(), path.name
        assert all(np.array_equal(found[name], plain[name].astype(np.float64)) for name in plain), path.name


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_pickles_of_paddle_are_read_in_every_protocol(protocol: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    turned = np.asfortranarray(rng.normal(size=(3, 5)))
    content: dict[str, Any] = OrderedDict(
        {
            "a": rng.normal(size=(2, 3)).astype(np.float32),
            "b": ("name of the tensor", rng.normal(size=4).astype(np.float16)),
            "c": turned,
            "d": np.zeros((0, 7), np.float32),
            "e": np.arange(3, dtype=">f4"),
            "count": np.arange(3),
            "scale": np.float32(3),
            "StructuredToParameterName@@": {"a": "conv_0.w_0"},
        }
    )
    path = tmp_path / "x.pdparams"
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    found = open_weights(path)
    assert found.keys() == {"a", "b", "c", "d", "e"}
    for name, values in found.items():
        expected = content[name][1] if name == "b" else content[name]
        assert np.array_equal(values, expected), name


def test_logs_beside_the_weights_are_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MMOCR pickles its history. The class need not be installed, and nothing of it is made."""
    name = "mmengine.logging.history_buffer"
    made = []
    history = type(
        "HistoryBuffer", (), {"__module__": name, "__setstate__": lambda *state: made.append(state)}
    )
    entry = history()
    entry.values = np.arange(3.0)
    with monkeypatch.context() as context:
        for part in ("mmengine", "mmengine.logging", name):
            context.setitem(sys.modules, part, ModuleType(part))
        sys.modules[name].HistoryBuffer = history  # type: ignore[attr-defined]
        scalars = {"train/loss": entry}
        content = {"state_dict": TRBA.weights, "message_hub": scalars, "best_res": np.float64(0.9)}
        path = saved(content, tmp_path)
        assert import_rectifier("trba", path).spec.control_points == 20
    assert import_rectifier("trba", path).spec.control_points == 20
    assert made == []


class Trap:
    """Unpickling this would run code."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple:
        return (Path.touch, (self.place,))


@pytest.mark.parametrize("name", ["trap.pth", "trap.pt", "trap.pdparams"])
def test_code_in_a_file_is_not_run(name: str, tmp_path: Path) -> None:
    content = {"state_dict": {**arrays(TRBA), "trap": Trap(tmp_path / "sprung")}}
    path = tmp_path / name
    if name.endswith("pdparams"):
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path)
    with pytest.raises(ArtifactError, match=rf"{re.escape(name)}: cannot be (opened|read)"):
        open_weights(path)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    "content",
    [
        {"a": np.array(["text"])},
        {"a": np.array([object()])},
        {"a": np.zeros(2, [("x", "f4"), ("y", "O")])},
        {"a": np.zeros(2, "M8[s]")},
        {"a": b"bytes".decode},
        [np.zeros(3)],
        {},
    ],
    ids=["text", "objects", "records", "times", "a method", "a list", "nothing"],
)
def test_a_pickle_of_anything_but_plain_arrays_is_refused(content: object, tmp_path: Path) -> None:
    path = saved(content, tmp_path, "x.pdparams")
    with pytest.raises(ArtifactError, match=r"x\.pdparams: (cannot be read|expected)"):
        open_weights(path)


def test_bytes_cannot_pass_for_pointers(tmp_path: Path) -> None:
    """NumPy's own unpickling believes a dtype that says its objects are plain bytes."""
    data = pickle.dumps({"a": np.zeros(2, np.float64)}, protocol=2)
    assert b"f8" in data
    path = tmp_path / "x.pdparams"
    path.write_bytes(data.replace(b"f8", b"O8"))
    with pytest.raises(ArtifactError, match="no plain numbers"):
        open_weights(path)


@pytest.mark.parametrize("name", ["a.pth", "a.safetensors", "a.npz", "a.pdparams"])
def test_a_truncated_file_is_refused(name: str, tmp_path: Path) -> None:
    small = {"x": torch.ones(300), "y": torch.zeros(7)}
    path = tmp_path / name
    if name.endswith("safetensors"):
        save_file(small, path)
    elif name.endswith("npz"):
        np.savez(path, x=small["x"].numpy(), y=small["y"].numpy())
    elif name.endswith("pdparams"):
        path.write_bytes(pickle.dumps({key: value.numpy() for key, value in small.items()}))
    else:
        torch.save(small, path)
    data = path.read_bytes()
    for length in (0, 1, 30, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:length])
        with pytest.raises(ArtifactError, match=re.escape(name)):
            open_weights(path)


def test_a_pickle_in_an_npz_and_a_single_array_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", a=np.array([{1: 2}], dtype=object))
    with pytest.raises(ArtifactError, match=r"x\.npz: not a readable"):
        open_weights(tmp_path / "x.npz")
    with (tmp_path / "x.npz").open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(ArtifactError, match="a single array"):
        open_weights(tmp_path / "x.npz")


@pytest.mark.parametrize("name", ["model.onnx", "inference.pdiparams", "weights", "model.pkl"])
def test_other_formats_are_refused_by_name(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"whatever")
    with pytest.raises(ArtifactError, match=r"expected weights in one of \.pth"):
        open_weights(tmp_path / name)


def test_torchscript_is_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("model/constants.pkl", pickle.dumps(()))
        archive.writestr("model/data.pkl", pickle.dumps({}))
    (tmp_path / "scripted.pt").write_bytes(buffer.getvalue())
    with pytest.raises(ArtifactError, match=r"scripted\.pt"):
        open_weights(tmp_path / "scripted.pt")


@pytest.mark.parametrize("content", [{}, {"state_dict": {}}, [1, 2], torch.zeros(3), {"epoch": 3}], ids=str)
def test_a_file_without_weights_by_name_is_refused(content: object, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"weights\.pth: expected weights by name, found none"):
        open_weights(saved(content, tmp_path))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"nothing\.pth: no such file"):
        open_weights(tmp_path / "nothing.pth")


# --- what is found ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["", "module.Transformation.", "module.", "a.b.c."])
def test_a_rectifier_is_found_under_any_prefix(prefix: str, tmp_path: Path) -> None:
    path = saved(published.trba(prefix=prefix).weights, tmp_path)
    assert import_rectifier("trba", path).spec.recipe["prefix"] == prefix


def test_control_points_colours_and_sizes_are_read_from_the_file(tmp_path: Path) -> None:
    original = published.trba(colours=3, count=14, size=(48, 160))
    spec = import_rectifier("trba", saved(original.weights, tmp_path)).spec
    assert (spec.control_points, spec.localisation["colours"]) == (14, 3)
    assert spec.input_size == spec.thumbnail_size == spec.output_size == (48, 160)
    assert (spec.padding, spec.control_inset, spec.kernel_aspect) == ("border", 0.0, 1.0)
    assert (spec.threshold, spec.format_version) == (0.0, 2)
    original = published.aster(count=12, output=(24, 90), margin=0.02)
    spec = import_rectifier("aster", saved(original.weights, tmp_path)).spec
    assert (spec.control_points, spec.output_size, spec.input_size) == (12, (24, 90), (64, 256))
    assert (spec.thumbnail_size, spec.thumbnail_align_corners) == ((32, 64), True)
    assert spec.control_inset == pytest.approx(0.04)
    assert spec.target_align_corners


def test_sizes_may_be_given_where_the_file_does_not_tell(tmp_path: Path) -> None:
    path = published.save(SMALL, tmp_path)
    spec = import_rectifier("paddleocr", path).spec
    assert spec.input_size == spec.output_size == (32, 100)
    spec = import_rectifier("paddleocr", path, input_size=(48, 320)).spec
    assert spec.input_size == spec.thumbnail_size == spec.output_size == (48, 320)
    spec = import_rectifier("paddleocr", path, input_size=(48, 320), output_size=(32, 100)).spec
    assert (spec.input_size, spec.output_size) == ((48, 320), (32, 100))
    bare = {name: value for name, value in TRBA.weights.items() if "GridGenerator" not in name}
    path = saved(bare, tmp_path)
    assert import_rectifier("trba", path, input_size=(32, 200)).spec.input_size == (32, 200)
    assert import_rectifier("trba", path).spec.input_size == (32, 100)


def test_an_input_size_that_is_not_that_of_the_file_is_refused(tmp_path: Path) -> None:
    path = saved(TRBA.weights, tmp_path)
    assert import_rectifier("trba", path, input_size=(32, 100), output_size=(48, 90)).spec.output_size == (
        48,
        90,
    )
    with pytest.raises(
        ArgumentError, match="--input-size: expected 32x100, which the file tells, got 32x200"
    ):
        import_rectifier("trba", path, input_size=(32, 200))


def test_the_rectifier_of_trba_in_mmocr_sees_bgr(tmp_path: Path) -> None:
    original = published.trba(colours=3, prefix="preprocessor.")
    path = saved({"state_dict": original.weights}, tmp_path)
    weights = [
        import_rectifier(family, path).state_dict()["network.features.0.weight"]
        for family in ("trba", "mmocr")
    ]
    assert torch.equal(weights[0], weights[1].flip(1))


# --- what is refused --------------------------------------------------------------------------------------


def without(part: str) -> Callable[[Weights], Weights]:
    return lambda weights: {name: value for name, value in weights.items() if part not in name}


def changed(part: str, change: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[Weights], Weights]:
    return lambda weights: {
        name: change(value) if name.endswith(part) else value for name, value in weights.items()
    }


def renamed(before: str, after: str) -> Callable[[Weights], Weights]:
    return lambda weights: {name.replace(before, after): value for name, value in weights.items()}


def moved(values: torch.Tensor) -> torch.Tensor:
    """Buffers of a spline whose control points lie elsewhere."""
    return values * torch.linspace(1, 1.2, values.shape[1])


REFUSED: dict[str, tuple[Published, Callable[[Weights], Weights], str]] = {
    "no rectifier": (
        TRBA,
        without("Transformation"),
        r"weight named \.\.\.LocalizationNetwork\.conv\.0\.weight; found none among 1 weights "
        r"\(module\.FeatureExtraction.*trained without one",
    ),
    "another family": (
        published.aster(published.MMOCR),
        lambda weights: weights,
        r"looks like mmocr: stn-deploy import mmocr",
    ),
    "several": (
        TRBA,
        lambda weights: weights | renamed("module.", "other.")(weights),
        r"found several: under module\.Transformation\., other\.Transformation\.",
    ),
    "a layer is missing": (
        TRBA,
        without("conv.5.running_var"),
        r"expected module\.Transformation\.LocalizationNetwork\.conv\.5\.running_var beside",
    ),
    "another width": (
        TRBA,
        changed("conv.4.weight", lambda value: value[:100]),
        r"conv\.4\.weight: expected \(128, 64, 3, 3\), got \(100, 64, 3, 3\)",
    ),
    "two channels": (
        TRBA,
        changed("conv.0.weight", lambda value: value.expand(-1, 2, -1, -1)),
        "1 or 3 channels, got 2",
    ),
    "an odd number of numbers": (
        TRBA,
        lambda weights: changed("fc2.bias", lambda value: value[:38])(
            changed("fc2.weight", lambda value: value[:38])(without("GridGenerator")(weights))
        ),
        "two rows of control points.*38 numbers",
    ),
    "NaN": (TRBA, changed("fc1.0.weight", lambda value: value * torch.nan), "fc1.0.weight: expected numbers"),
    "another spline": (TRBA, changed("inv_delta_C", moved), r"P_hat: expected the published spline"),
    "buffers of another number of points": (
        TRBA,
        changed("P_hat", lambda value: value[:, :-2]),
        r"P_hat: expected \(any, 23\), got \(3200, 21\)",
    ),
    "no grid": (TRBA, changed("P_hat", lambda value: value[:-3]), "expected a grid of points"),
    "another thumbnail": (
        ASTER,
        changed("stn_fc1.0.weight", lambda value: value[:, :256]),
        r"stn_fc1\.0\.weight: expected \(512, 512\), got \(512, 256\)",
    ),
    "a sigmoid": (ASTER, changed("stn_fc2.bias", lambda value: (value - 0.5) * 9), "stn_activation sigmoid"),
    "unequal margins": (
        ASTER,
        changed("target_control_points", lambda value: value * torch.tensor([1.0, 1.5])),
        "expected one margin",
    ),
    "the spline learnt more": (
        SMALL,
        changed("grid_generator.fc.weight", lambda value: value + 0.25),
        r"transform\.grid_generator\.fc\.weight: expected zeros.*up to 0\.25",
    ),
    "another size of PaddleOCR": (
        SMALL,
        changed("loc_conv0.conv.weight", lambda value: value[:12]),
        r"expected 16 channels \(small\) or 64 \(large\), got 12",
    ),
}


@pytest.mark.parametrize(("original", "change", "message"), REFUSED.values(), ids=REFUSED)
def test_weights_that_do_not_fit_are_refused_by_name(
    original: Published, change: Callable[[Weights], Weights], message: str, tmp_path: Path
) -> None:
    family = "trba" if "mmocr" in message else original.family
    path = published.save(dataclasses.replace(original, weights=change(original.weights)), tmp_path)
    with pytest.raises(ArtifactError, match=message) as refused:
        import_rectifier(family, path)
    assert str(path) in str(refused.value)


def test_an_unknown_family_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="expected one of trba, aster, mmocr, paddleocr, got 'moran'"):
        import_rectifier("moran", tmp_path / "x.pth")
    assert list(FAMILIES) == ["trba", "aster", "mmocr", "paddleocr"]
