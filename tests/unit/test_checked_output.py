"""What a command is to write is refused before any work where something would be lost by it."""

from __future__ import annotations

from pathlib import Path

import pytest

from stn_deploy.cli.common import checked_output
from stn_deploy.errors import OutputError


def test_an_input_is_not_written_over_by_whatever_name(tmp_path: Path) -> None:
    weights = tmp_path / "best.safetensors"
    weights.write_bytes(b"months of training")
    (tmp_path / "latest.safetensors").symlink_to(weights)
    for name in ("best.safetensors", "../" + tmp_path.name + "/best.safetensors", "latest.safetensors"):
        with pytest.raises(OutputError, match="would write over .*best.safetensors.*name another"):
            checked_output(tmp_path / name, weights, suffix=".safetensors")
    checked_output(tmp_path / "new.safetensors", weights, None, suffix=".safetensors")


def test_a_file_of_an_earlier_run_may_be_written_over(tmp_path: Path) -> None:
    (tmp_path / "old.onnx").write_bytes(b"old")
    checked_output(tmp_path / "old.onnx", tmp_path / "absent.safetensors", suffix=".onnx")


def test_a_folder_and_a_name_of_another_kind_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"is a folder.*new\.onnx"):
        checked_output(tmp_path, suffix=".onnx")
    with pytest.raises(OutputError, match=r"ends in \.onnx, got \.pth"):
        checked_output(tmp_path / "model.pth", suffix=".onnx")
    with pytest.raises(OutputError, match=r"ends in \.onnx, got no suffix"):
        checked_output(tmp_path / "model", suffix=".onnx")
    checked_output(tmp_path / "MODEL.ONNX", suffix=".onnx")
