"""``stn-deploy import`` as a user runs it: four families to exported files, and what is refused."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from stn_deploy.export.importing import import_rectifier
from stn_deploy.training import save_checkpoint
from tests import published
from tests.published import Published
from tests.system.conftest import Run

FAMILIES: dict[str, tuple[Callable[[], Published], str]] = {
    "trba": (
        published.trba,
        "20 control points, grey images of 32 x 100, straightened to 32 x 100, found under",
    ),
    "aster": (published.aster, "20 control points, colour images of 64 x 256, straightened to 32 x 100"),
    "mmocr": (lambda: published.aster(published.MMOCR), "found under preprocessor."),
    "paddleocr": (lambda: published.paddle_tps(count=12), "12 control points, colour images of 32 x 100"),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_the_command_says_what_it_found(family: str, run: Run, tmp_path: Path) -> None:
    make, said = FAMILIES[family]
    weights = published.save(make(), tmp_path)
    done = run("import", family, weights.name, "-o", "checkpoint.safetensors")
    assert done.returncode == 0, done.stderr
    assert said in done.stdout
    assert "wrote checkpoint.safetensors" in done.stdout
    assert (tmp_path / "checkpoint.safetensors").exists()


@pytest.mark.parametrize("original", [published.trba(), published.paddle_tps()], ids=lambda item: item.family)
def test_weights_become_a_file_and_straight_crops(
    original: Published, run: Run, photographs: Path, tmp_path: Path
) -> None:
    rectifier = import_rectifier(original.family, published.save(original, tmp_path))
    save_checkpoint(rectifier, tmp_path / "checkpoint.safetensors")
    done = run("export", "checkpoint.safetensors", "-o", "model.onnx")
    assert done.returncode == 0, done.stderr
    assert "all within tolerance" in done.stdout
    shown = json.loads(run("info", "model.onnx", "--json").stdout)
    assert (shown["format_version"], shown["threshold"]) == (2, 0.0)
    assert shown["recipe"]["name"] == original.family
    assert len(shown["recipe"]["weights_sha256"]) == 64
    assert str(tmp_path) not in json.dumps(shown["recipe"])
    done = run("rectify", photographs, "-o", "straight", "--model", "model.onnx", "--json")
    assert done.returncode == 0, done.stderr
    assert [line["applied"] for line in json.loads(done.stdout)] == [True, True]


def test_the_weights_are_not_written_over(run: Run, tmp_path: Path) -> None:
    weights = published.save(published.trba(), tmp_path)
    before = weights.read_bytes()
    done = run("import", "trba", weights.name, "-o", weights.name)
    assert done.returncode == 2
    assert "would write over" in done.stderr
    assert weights.read_bytes() == before


def test_sizes_are_chosen_on_the_command_line(run: Run, tmp_path: Path) -> None:
    weights = published.save(published.paddle_tps(), tmp_path)
    done = run(
        "import",
        "paddleocr",
        weights.name,
        "-o",
        "x.safetensors",
        "--size",
        "48x160",
        "--input-size",
        "32x320",
    )
    assert "images of 32 x 320, straightened to 48 x 160" in done.stdout, done.stderr


class Trap:
    """Unpickling this would run code."""

    def __reduce__(self) -> tuple:
        return (Path.touch, (Path("sprung"),))


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Files that cannot be imported, and one that can, good.pth."""
    torch.save(published.trba().weights, tmp_path / "good.pth")
    whole = (tmp_path / "good.pth").read_bytes()
    (tmp_path / "truncated.pth").write_bytes(whole[: len(whole) // 2])
    torch.save({"state_dict": Trap()}, tmp_path / "trap.pth")
    (tmp_path / "trap.pdparams").write_bytes(pickle.dumps({"a": Trap()}))
    torch.save({"FeatureExtraction.conv.weight": torch.zeros(3)}, tmp_path / "plain.pth")
    (tmp_path / "text.pth").write_text("hello")
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trba", "truncated.pth"], "truncated.pth: cannot be opened with weights only: it is damaged"),
        (
            ["trba", "trap.pth"],
            "trap.pth: cannot be opened with weights only: it holds more than weights, getattr",
        ),
        (["paddleocr", "trap.pdparams"], "which is neither an array nor a name"),
        (["trba", "plain.pth"], "...LocalizationNetwork.conv.0.weight; found none among 1 weights"),
        (["trba", "good.pth", "--input-size", "0x9"], "--input-size: expected HEIGHTxWIDTH"),
        (["trba", "good.pth", "--input-size", "32x200"], "expected 32x100, which the file tells"),
        (["trba", "good.pth", "-o", "text.pth/x.safetensors"], "could not be written"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_what_cannot_be_imported_is_refused_and_leaves_nothing(
    arguments: list[str], message: str, run: Run, files: Path
) -> None:
    before = {path.name for path in files.iterdir()}
    done = run("import", *arguments, *([] if "-o" in arguments else ["-o", "x.safetensors"]))
    assert done.returncode == 2, done.stdout
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert {path.name for path in files.iterdir()} == before
