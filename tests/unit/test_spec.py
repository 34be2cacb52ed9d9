"""The JSON inside every exported file: it comes back as it went in, and nothing else gets through."""

from __future__ import annotations

import dataclasses
import json

import pytest

from stn_deploy.artifact import FORMAT_VERSION, RectifierSpec
from stn_deploy.errors import ArtifactError

SPEC = RectifierSpec(
    control_points=8,
    output_size=(24, 70),
    thumbnail_size=(16, 40),
    margin=0.2,
    kernel_aspect=0.3,
    threshold=0.25,
    mean=100.0,
    std=60.0,
    channel_order="RGB",
    localisation={"channels": [8, 16], "dense": 5},
    recipe={"name": "x", "seed": 3},
    digest="abc",
    gate={"tilt_degrees": 7.5, "sag": 0.2, "taper": 0.3, "short": 2.0, "long": 6.0},
    precision="float16",
    padding="zeros",
    control_inset=0.1,
    target_align_corners=True,
    input_size=(20, 60),
    thumbnail_align_corners=True,
)
GEOMETRY = ("padding", "control_inset", "target_align_corners", "input_size", "thumbnail_align_corners")


def test_a_spec_comes_back_as_it_went_in() -> None:
    defaults = RectifierSpec()
    for item in dataclasses.fields(RectifierSpec):
        changed = getattr(SPEC, item.name) != getattr(defaults, item.name)
        assert changed or item.name in ("transform", "format_version"), item.name
    assert RectifierSpec.from_json(SPEC.to_json()) == SPEC


def test_its_json_is_the_same_whatever_the_order_of_settings() -> None:
    turned = dataclasses.replace(SPEC, recipe={"seed": 3, "name": "x"})
    assert turned.to_json() == SPEC.to_json()


def test_a_spec_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        SPEC.margin = 0.5  # type: ignore[misc]


def test_fields_of_a_later_writer_are_ignored_in_the_same_format() -> None:
    values = {**json.loads(SPEC.to_json()), "remark": "hello"}
    assert RectifierSpec.from_json(json.dumps(values)) == SPEC


def test_a_lower_precision_is_told_without_a_newer_format() -> None:
    """Runtimes of before run such a file as it is: precision is no part of what they must know."""
    exact = RectifierSpec()
    assert "precision" not in json.loads(exact.to_json())
    for precision in ("float16", "int8"):
        spec = dataclasses.replace(exact, precision=precision)
        assert json.loads(spec.to_json())["precision"] == precision
        assert spec.format_version == exact.format_version
        assert RectifierSpec.from_json(spec.to_json()) == spec


@pytest.mark.parametrize("precision", ["fp16", "float64", "", None, 16])
def test_a_precision_that_there_is_not_is_refused(precision: object) -> None:
    with pytest.raises(ArtifactError, match="precision: expected float32, float16, int8, got"):
        dataclasses.replace(SPEC, precision=precision)  # type: ignore[arg-type]


def test_a_gate_from_before_it_looked_at_the_length_is_read() -> None:
    former = {name: limit for name, limit in SPEC.gate.items() if name not in ("short", "long")}
    values = {**json.loads(SPEC.to_json()), "gate": former}
    assert RectifierSpec.from_json(json.dumps(values)) == dataclasses.replace(SPEC, gate=former)


WRONG: dict[str, list[object]] = {
    "transform": ["affine", None],
    "gate": [{**SPEC.gate, "sag": 10**400}, {**SPEC.gate, "sag": 0.0}, {"sag": 1.0}, [1.0], None],
    "control_points": [0, 2, 7, -4, "20", None],
    "output_size": [[32], [0, 100], [32, 9000], [32.0, 100.0], "ab", 5, None],
    "thumbnail_size": [[32, 64, 3], [-32, 64]],
    "margin": [-0.1, 2.5, float("nan"), "0.1", 10**400],
    "kernel_aspect": [0, -1, float("nan")],
    "threshold": [-0.1, 1.1, float("nan"), None],
    "std": [0, -1, float("nan")],
    "channel_order": ["GBR", "rgb", 3],
    "padding": ["reflection", "Zeros", 0, None],
    "control_inset": [-0.1, 1.0, float("nan"), "0.1", None],
    "target_align_corners": [1, None, "yes"],
    "input_size": [[32], [1, 100], [32, 9000], [32.0, 100.0], "ab", 5],
    "thumbnail_align_corners": [0, None],
}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in WRONG.items() for value in values]
)
def test_a_value_out_of_range_is_refused_with_the_file_and_the_field(name: str, value: object) -> None:
    values = {**json.loads(SPEC.to_json()), name: value}
    with pytest.raises(ArtifactError, match=r"^crate\.onnx: ") as refused:
        RectifierSpec.from_json(json.dumps(values), name="crate.onnx")
    assert name in str(refused.value) or "damaged" in str(refused.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("control_points", 20.0),
        ("mean", "grey"),
        ("mean", float("nan")),
        ("std", float("inf")),
        ("localisation", 5),
        ("localisation", None),
        ("recipe", None),
        ("digest", 7),
        ("format_version", float("inf")),
        ("format_version", 0),
        ("format_version", -1),
        ("format_version", 1.5),
        ("format_version", True),
        ("format_version", "1"),
    ],
)
def test_a_value_of_another_type_is_refused(name: str, value: object) -> None:
    values = {**json.loads(SPEC.to_json()), name: value}
    with pytest.raises(ArtifactError, match=r"^crate\.onnx: "):
        RectifierSpec.from_json(json.dumps(values), name="crate.onnx")


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(ArtifactError, match="margin: .*; threshold: .*; std: "):
        RectifierSpec(margin=-1.0, threshold=2.0, std=0.0)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "3", "null", "{}", '{"format_version": "one"}', "\x00", "[" * 200_000]
)
def test_text_that_is_no_spec_is_refused(text: str) -> None:
    with pytest.raises(ArtifactError, match=r"crate\.onnx: the rectifier spec in its metadata is damaged"):
        RectifierSpec.from_json(text, name="crate.onnx")


@pytest.mark.parametrize("field", ["output_size", "thumbnail_size", "format_version"])
def test_a_spec_that_lacks_a_field_is_refused(field: str) -> None:
    values = json.loads(SPEC.to_json())
    del values[field]
    with pytest.raises(ArtifactError, match="damaged"):
        RectifierSpec.from_json(json.dumps(values))


def test_a_newer_format_is_refused_with_the_remedy_before_anything_else_is_read() -> None:
    values = {"format_version": FORMAT_VERSION + 1, "transform": "wormhole"}
    with pytest.raises(
        ArtifactError, match=r"format version 3 is newer than 2.*pip install --upgrade stn-deploy"
    ):
        RectifierSpec.from_json(json.dumps(values), name="crate.onnx")


@pytest.mark.parametrize("name", GEOMETRY)
def test_each_geometry_that_older_readers_would_get_wrong_makes_a_file_of_version_2(name: str) -> None:
    changed = dataclasses.replace(RectifierSpec(), **{name: getattr(SPEC, name)})
    values = json.loads(changed.to_json())
    assert changed.format_version == values["format_version"] == 2
    assert [field for field in GEOMETRY if field in values] == [name]
    assert RectifierSpec.from_json(changed.to_json()) == changed


def test_a_spec_that_needs_none_of_them_is_written_as_before() -> None:
    plain = dataclasses.replace(SPEC, **{name: getattr(RectifierSpec(), name) for name in GEOMETRY})
    values = json.loads(plain.to_json())
    assert plain.format_version == values["format_version"] == 1
    assert not values.keys() & {*GEOMETRY}
    assert RectifierSpec.from_json(plain.to_json()) == plain
