"""What is inside an exported file: the parts of the contract that engines and users rely on."""

from __future__ import annotations

import copy
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from stn_deploy.artifact import METADATA_KEY, read_artifact
from stn_deploy.data import write_together, write_whole
from stn_deploy.errors import ArtifactError, OutputError
from stn_deploy.export import export_rectifier
from stn_deploy.training import TextRectifier, load_checkpoint, save_checkpoint

SINGULAR = {"Inverse", "MatrixInverse", "Det", "Einsum", "Loop", "If", "Scan"}
"""Operators that a constant basis makes needless, or that hide a computation from engines."""


@pytest.fixture(scope="module")
def proto(model: Path) -> onnx.ModelProto:
    return onnx.load(model)


def attribute(node: onnx.NodeProto, name: str) -> object:
    (found,) = (item for item in node.attribute if item.name == name)
    value = onnx.helper.get_attribute_value(found)
    return value.decode() if isinstance(value, bytes) else value


def shape_of(value: onnx.ValueInfoProto) -> list[int | str]:
    return [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]


def test_it_passes_the_checker_of_onnx(proto: onnx.ModelProto) -> None:
    onnx.checker.check_model(proto, full_check=True)


def test_it_is_of_opset_18(proto: onnx.ModelProto) -> None:
    assert {item.domain: item.version for item in proto.opset_import} == {"": 18, "stn_deploy": 1}
    (function,) = proto.functions
    assert {item.domain: item.version for item in function.opset_import} == {"": 18}


def test_inputs_and_outputs_have_their_names_types_and_shapes(proto: onnx.ModelProto) -> None:
    kinds = {
        value.name: (value.type.tensor_type.elem_type, shape_of(value))
        for value in (*proto.graph.input, *proto.graph.output)
    }
    uint8, float32 = onnx.TensorProto.UINT8, onnx.TensorProto.FLOAT
    n, height, width = kinds["images"][1][:3]
    assert all(isinstance(name, str) for name in (n, height, width))
    assert kinds == {
        "images": (uint8, [n, height, width, 3]),
        "extents": (float32, [n, 2]),
        "rectified": (float32, [n, 3, 24, 70]),
        "theta": (float32, [n, 14, 2]),
        "score": (float32, [n]),
    }
    between = {value.name: shape_of(value) for value in proto.graph.value_info}
    assert between["thumbnails"] == [n, 3, 16, 40]
    assert between["sizes"] == [n, 2]


def test_the_uint8_input_feeds_only_cast_and_shape(proto: onnx.ModelProto) -> None:
    """TensorRT takes a uint8 input only where a Cast follows."""
    consumers = Counter(node.op_type for node in proto.graph.node if "images" in node.input)
    assert consumers.keys() <= {"Cast", "Shape"}
    assert consumers["Cast"] == 1


def test_there_is_one_node_of_ours_with_all_its_attributes(proto: onnx.ModelProto) -> None:
    (node,) = (node for node in proto.graph.node if node.domain == "stn_deploy")
    assert node.op_type == "ThetaGridSample"
    assert node.input[2] == "theta"
    assert node.input[3] == "extents"
    assert attribute(node, "output_size") == [24, 70]
    assert attribute(node, "plugin_namespace") == "stn_deploy"
    assert attribute(node, "plugin_version") == "1"
    assert attribute(node, "interpolation") == 1
    assert [attribute(node, name) for name in ("padding", "align_corners", "homogeneous")] == [0, 0, 0]


def test_its_function_takes_what_the_node_gives(proto: onnx.ModelProto) -> None:
    (node,) = (node for node in proto.graph.node if node.domain == "stn_deploy")
    (function,) = proto.functions
    assert (function.domain, function.name) == (node.domain, node.op_type)
    assert len(function.input) == len(node.input) == 4
    allowed = set(function.attribute) | {item.name for item in function.attribute_proto}
    assert {item.name for item in node.attribute} == allowed
    outer = {name for item in proto.graph.node for name in (*item.input, *item.output)}
    inner = {name for item in function.node for name in (*item.input, *item.output)}
    assert not outer & inner  # TensorRT confuses equal names


def test_nothing_is_inverted_at_run_time_and_all_operators_are_standard(proto: onnx.ModelProto) -> None:
    nodes = [*proto.graph.node, *proto.functions[0].node]
    assert not {node.op_type for node in nodes} & SINGULAR
    assert {node.domain for node in nodes} == {"", "stn_deploy"}
    assert not {"BatchNormalization", "Dropout"} & {node.op_type for node in nodes}


def test_the_spec_in_the_metadata_is_that_of_the_rectifier(
    proto: onnx.ModelProto, model: Path, rectifier: TextRectifier
) -> None:
    assert [item.key for item in proto.metadata_props] == [METADATA_KEY]
    _, spec = read_artifact(model)
    assert spec.digest
    for name in (
        "control_points",
        "output_size",
        "thumbnail_size",
        "margin",
        "kernel_aspect",
        "threshold",
        "mean",
        "std",
        "recipe",
    ):
        assert getattr(spec, name) == getattr(rectifier.spec, name), name


def test_it_says_nothing_of_the_computer_that_wrote_it(model: Path) -> None:
    data = model.read_bytes()
    for secret in (str(Path.home()), str(Path(__file__).parents[2]), str(model.parent)):
        assert secret.encode() not in data


def test_two_exports_of_one_checkpoint_are_the_same_bytes(
    model: Path, rectifier: TextRectifier, tmp_path: Path
) -> None:
    save_checkpoint(rectifier, tmp_path / "checkpoint.safetensors")
    export_rectifier(load_checkpoint(tmp_path / "checkpoint.safetensors"), tmp_path / "again.onnx")
    assert (tmp_path / "again.onnx").read_bytes() == model.read_bytes()


def test_an_output_size_can_be_chosen_for_the_file(rectifier: TextRectifier, tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "other.onnx"
    before = rectifier.spec
    written = export_rectifier(rectifier, path, output_size=(9, 33))
    assert rectifier.spec == before
    assert written == read_artifact(path)[1]
    assert written.output_size == (9, 33)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    canvas = {"images": np.zeros((2, 30, 50, 3), np.uint8), "extents": np.ones((2, 2), np.float32)}
    assert session.run(["rectified"], canvas)[0].shape == (2, 3, 9, 33)


def test_a_rectifier_in_training_is_exported_as_in_use_and_trains_on(
    rectifier: TextRectifier, model: Path, tmp_path: Path
) -> None:
    training = copy.deepcopy(rectifier).train()
    export_rectifier(training, tmp_path / "x.onnx")
    assert all(module.training for module in training.modules())
    assert (tmp_path / "x.onnx").read_bytes() == model.read_bytes()


def test_an_output_size_that_is_none_is_refused(rectifier: TextRectifier, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="output_size: expected"):
        export_rectifier(rectifier, tmp_path / "x.onnx", output_size=(0, 33))


@pytest.mark.parametrize("name", ["file/x.onnx", "file/deeper/x.onnx"])
def test_a_file_that_cannot_be_written_leaves_nothing(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match="File exists|Not a directory"):
        write_whole(tmp_path / name, b"data")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_an_export_that_cannot_be_written_is_an_output_error(
    rectifier: TextRectifier, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match=r"x\.onnx: cannot be written"):
        export_rectifier(rectifier, tmp_path / "file" / "x.onnx")


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "x.onnx"
    target.write_bytes(b"old")

    def full_disk(path: Path, data: bytes) -> int:
        with path.open("wb") as file:
            file.write(data[:2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full_disk)
    with pytest.raises(OSError, match="No space left on device"):
        write_whole(target, b"new data")
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_two_that_write_the_same_file_leave_it_whole(tmp_path: Path) -> None:
    target, size = tmp_path / "x.onnx", 100_000
    target.write_bytes(bytes(size))

    def write_often(number: int) -> None:
        for _ in range(60):
            write_whole(target, bytes([number]) * size)
            assert len(set(data := target.read_bytes())) == 1
            assert len(data) == size

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(write_often, range(1, 4)))
    assert list(tmp_path.iterdir()) == [target]


def test_files_that_belong_together_are_both_there_or_neither(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = {tmp_path / "x.engine": b"engine", tmp_path / "x.engine.json": b"record"}
    write_together(contents)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == contents
    rename = Path.replace

    def not_the_record(part: Path, target: Path) -> Path:
        if target.suffix == ".json":
            raise OSError(13, "Permission denied")
        return rename(part, target)

    monkeypatch.setattr(Path, "replace", not_the_record)
    others = {path.with_stem(f"other.{path.stem}"): data for path, data in contents.items()}
    with pytest.raises(OSError, match="Permission denied"):
        write_together(others)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == contents
