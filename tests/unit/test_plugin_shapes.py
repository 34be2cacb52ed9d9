"""What the C++ plugin says of types, layouts and shapes while an engine is built and run; what it refuses."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path

import pytest

from stn_deploy.export.node import OP_TYPE
from tests.plugin_library import Harness, each_version

GIVEN = "GivenGridSample"
FLOATS = ("f32", "f16", "bf16")
LAYOUTS = ("linear", "hwc8", "dhwc8", "hwc", "dhwc", "hwc16", "chw2", "chw32")

GOOD = {"source": (2, 3, 7, 12), "basis": (20, 5), "theta": (2, 5, 2), "extents": (2, 2)}
BAD = [
    ({"source": (2, 3, 4, 7, 12)}, r"source: expected \(N, C, H, W\), got \(2, 3, 4, 7, 12\)"),
    ({"source": (2, 3, 7)}, r"source: expected \(N, C, H, W\), got \(2, 3, 7\)"),
    ({"basis": (21, 5)}, r"basis: expected \(20, K\), got \(21, 5\); it has a row for each position"),
    ({"basis": (1, 20, 5)}, r"basis: expected \(20, K\), got \(1, 20, 5\)"),
    ({"theta": (2, 6, 2)}, r"theta: expected \(2, 5, 2\), got \(2, 6, 2\); .* with K as in basis"),
    ({"theta": (2, 5, 3)}, r"theta: expected \(2, 5, 2\), got \(2, 5, 3\); .* set homogeneous to 1"),
    ({"theta": (1, 5, 2)}, r"theta: expected \(2, 5, 2\), got \(1, 5, 2\); each image has one"),
    ({"theta": (2, 10)}, r"theta: expected \(2, 5, 2\), got \(2, 10\)"),
    ({"extents": (3, 2)}, r"extents: expected \(2, 2\), got \(3, 2\); each image"),
    ({"extents": (2, 3)}, r"extents: expected \(2, 2\), got \(2, 3\)"),
    ({"extents": (2,)}, r"extents: expected \(2, 2\), got \(2\)"),
]
GIVEN_BAD = [
    (((2, 3, 12), (2, 5, 4, 2)), r"source: expected \(N, C, H, W\), got \(2, 3, 12\)"),
    (((2, 3, 7, 12), (2, 5, 4, 3)), r"grid: expected \(2, h, w, 2\), got \(2, 5, 4, 3\)"),
    (((2, 3, 7, 12), (1, 5, 4, 2)), r"grid: expected \(2, h, w, 2\), got \(1, 5, 4, 2\)"),
    (((2, 3, 7, 12), (2, 20, 2)), r"grid: expected \(2, h, w, 2\), got \(2, 20, 2\)"),
    (((2, 3, 4, 7, 12), (2, 5, 4, 2)), r"grid: expected \(2, d, h, w, 3\), got \(2, 5, 4, 2\)"),
    (((2, 3, 4, 7, 12), (2, 3, 5, 4, 2)), r"grid: expected \(2, d, h, w, 3\), got \(2, 3, 5, 4, 2\)"),
]


def shapes(*lengths: tuple[int, ...]) -> str:
    return ";".join(",".join(map(str, shape)) for shape in lengths)


def tensors(*lengths: tuple[int, ...], first: str = "f32", layout: str = "linear") -> str:
    """Descriptions of tensors, the first of a type and layout of its own."""
    heads = [f"{first}/{layout}", *["f32/linear"] * (len(lengths) - 1)]
    return ";".join(f"{head}/{shapes(shape)}" for head, shape in zip(heads, lengths, strict=True))


def refused(answer: dict[str, object], message: str, name: str = OP_TYPE) -> None:
    messages = answer["messages"]
    assert answer["code"] == 3
    assert isinstance(messages, list)
    assert len(messages) == 1
    assert re.search(f"^3 {name}: {message}", messages[0]), messages


@each_version()
def test_the_output_has_batch_and_channels_of_the_source_and_the_size_of_the_fields(include: Path) -> None:
    with Harness.on_host(include) as harness:
        flat = harness.plugin(OP_TYPE, output_size=(5, 4))
        deep = harness.plugin(OP_TYPE, output_size=(3, 2, 5), homogeneous=1)
        for n, c, side, k in product((-1, 2), (-1, 3), (-1, 9), (-1, 6)):
            answer = harness("shapes", flat, shapes((n, c, side, side), (20, k), (n, k, 2), (n, 2)), 1)
            assert answer["code"] == 0, answer
            assert answer["shape"] == ["0.0", "0.1", "5", "4"]
            answer = harness("shapes", deep, shapes((n, c, side, 7, side), (30, k), (n, k, 4), (n, 3)), 1)
            assert answer["code"] == 0, answer
            assert answer["shape"] == ["0.0", "0.1", "3", "2", "5"]


@each_version()
def test_with_a_given_grid_the_output_has_its_size(include: Path) -> None:
    with Harness.on_host(include) as harness:
        plugin = harness.plugin(GIVEN)
        flat = harness("shapes", plugin, shapes((-1, 3, -1, -1), (-1, -1, 4, 2)), 1)
        deep = harness("shapes", plugin, shapes((-1, -1, -1, -1, -1), (-1, 3, -1, 4, 3)), 1)
        assert flat["shape"] == ["0.0", "0.1", "1.1", "1.2"]
        assert deep["shape"] == ["0.0", "0.1", "1.1", "1.2", "1.3"]


@each_version()
@pytest.mark.parametrize(("changed", "message"), BAD, ids=[str(changed) for changed, _ in BAD])
def test_inputs_that_do_not_fit_together_are_refused_when_built_and_when_run(
    include: Path, changed: dict[str, tuple[int, ...]], message: str
) -> None:
    inputs = tuple((GOOD | changed).values())
    out = (*inputs[0][:2], 5, 4)
    with Harness.on_host(include) as harness:
        plugin = harness.plugin(OP_TYPE, output_size=(5, 4))
        refused(harness("shapes", plugin, shapes(*inputs), 1), message)
        refused(harness("configure", plugin, tensors(*inputs), tensors(out)), message)
        refused(harness("change", plugin, tensors(*inputs), tensors(out)), message)
        refused(
            harness("enqueue", plugin, tensors(*inputs), tensors(out), "NULL;NULL;NULL;NULL", "NULL"), message
        )


@each_version()
def test_a_given_grid_that_does_not_fit_is_refused(include: Path) -> None:
    with Harness.on_host(include) as harness:
        plugin, cubic = harness.plugin(GIVEN), harness.plugin(GIVEN, interpolation=2)
        for inputs, message in GIVEN_BAD:
            refused(harness("shapes", plugin, shapes(*inputs), 1), message, GIVEN)
            refused(harness("change", plugin, tensors(*inputs), tensors((2, 3, 5, 4))), message, GIVEN)
        volumes = ((2, 3, 4, 7, 12), (2, 3, 5, 4, 3))
        refused(harness("shapes", cubic, shapes(*volumes), 1), "interpolation: .* for a volume, got 2", GIVEN)
        assert harness("shapes", plugin, shapes(*volumes), 1)["code"] == 0


@each_version()
def test_homographies_need_the_column_that_divides(include: Path) -> None:
    with Harness.on_host(include) as harness:
        plugin = harness.plugin(OP_TYPE, output_size=(5, 4), homogeneous=1)
        inputs = tuple(GOOD.values())
        refused(
            harness("shapes", plugin, shapes(*inputs), 1), r"theta: expected \(2, 5, 3\), .* homogeneous is 1"
        )
        inputs = tuple((GOOD | {"theta": (2, 5, 3)}).values())
        assert harness("shapes", plugin, shapes(*inputs), 1)["code"] == 0


@each_version()
def test_another_number_of_inputs_or_outputs_is_refused(include: Path) -> None:
    with Harness.on_host(include) as harness:
        plugin, given = harness.plugin(OP_TYPE, output_size=(5, 4)), harness.plugin(GIVEN)
        message = "inputs: expected source, basis, theta, extents and one output, got "
        inputs = tuple(GOOD.values())
        refused(harness("shapes", plugin, shapes(*inputs[:3]), 1), f"{message}3 and 1")
        refused(harness("shapes", plugin, shapes(*inputs), 2), f"{message}4 and 2")
        refused(harness("types", plugin, "f32,f32", 1), f"{message}2 and 1")
        refused(harness("change", plugin, tensors(*inputs[:2]), tensors((2, 3, 5, 4))), f"{message}2 and 1")
        refused(harness("types", given, "f32", 1), "inputs: expected source, grid and one", GIVEN)


@each_version()
def test_the_output_has_the_type_of_the_source_and_all_else_is_float32(include: Path) -> None:
    with Harness.on_host(include) as harness:
        plugin = harness.plugin(OP_TYPE, output_size=(5, 4))
        for source, basis, theta, extents in product((*FLOATS, "u8", "i8", "i32"), *[(*FLOATS, "i32")] * 3):
            answer = harness("types", plugin, ",".join((source, basis, theta, extents)), 1)
            fits = source in FLOATS and {basis, theta, extents} == {"f32"}
            assert (answer["code"] == 0) == fits
            if fits:
                assert answer["types"] == [source]
        named = (("f16,f16,f32,f32", "basis"), ("f16,f32,bf16,f32", "theta"), ("f32,f32,f32,i32", "extents"))
        for types, name in named:
            refused(harness("types", plugin, types, 1), f"{name}: expected float32, .*; cast it")


@each_version()
def test_source_and_output_are_planar_or_of_half_precision_with_the_channels_last(include: Path) -> None:
    with Harness.on_host(include) as harness:
        plugins = {
            4: harness.plugin(OP_TYPE, output_size=(5, 4)),
            5: harness.plugin(OP_TYPE, output_size=(3, 2, 5)),
        }
        given = harness.plugin(GIVEN)
        for rank, (kind, layout) in product((4, 5), product((*FLOATS, "i8", "i32"), LAYOUTS)):
            last = "hwc8" if rank == 4 else "dhwc8"
            fits = kind in FLOATS and (layout == "linear" or (layout == last and kind != "f32"))
            head = f"{kind}/{layout}/{shapes((2, 3, 4, 7, 12)[:rank])}"
            rest = ["f32/linear/1,1"] * 4
            assert harness("supports", plugins[rank], 0, ";".join([head, *rest]))["supported"] == fits, (
                rank,
                head,
            )
            assert harness("supports", given, 0, ";".join([head, *rest[:2]]))["supported"] == fits, (
                rank,
                head,
            )


@each_version()
def test_the_output_follows_the_source_and_the_rest_is_planar_float32(include: Path) -> None:
    with Harness.on_host(include) as harness:
        plugin, given = harness.plugin(OP_TYPE, output_size=(5, 4)), harness.plugin(GIVEN)
        source = "f16/hwc8/2,3,7,12"
        for kind, layout in product((*FLOATS, "i8", "i32"), LAYOUTS):
            asked = f"{kind}/{layout}/1"
            for position in (1, 2, 3):
                all_ = [source, *["f32/linear/1"] * 4]
                all_[position] = asked
                expected = (kind, layout) == ("f32", "linear")
                assert harness("supports", plugin, position, ";".join(all_))["supported"] == expected
            expected = (kind, layout) == ("f16", "hwc8")
            ends = ((plugin, 3, 4), (given, 1, 2))
            for each, others, position in ends:
                all_ = [source, *["f32/linear/1"] * others, asked]
                assert harness("supports", each, position, ";".join(all_))["supported"] == expected
        for position in (-1, 5):
            assert not harness("supports", plugin, position, ";".join([source, *["f32/linear/1"] * 4]))[
                "supported"
            ]


@each_version()
def test_lengths_that_are_not_known_yet_fit_while_an_engine_is_built_and_not_when_it_runs(
    include: Path,
) -> None:
    with Harness.on_host(include) as harness:
        plugin = harness.plugin(OP_TYPE, output_size=(5, 4))
        inputs = ((-1, 3, -1, -1), (20, 5), (-1, 5, 2), (-1, 2))
        out = tensors((-1, 3, 5, 4))
        assert harness("configure", plugin, tensors(*inputs), out)["code"] == 0
        refused(
            harness("change", plugin, tensors(*inputs), out),
            r"source: expected each length, .* got \(\?, 3, \?",
        )


@each_version()
def test_an_engine_of_another_version_is_noticed_by_its_output(include: Path) -> None:
    inputs = tuple(GOOD.values())
    with Harness.on_host(include) as harness:
        plugin = harness.plugin(OP_TYPE, output_size=(5, 4))
        assert harness("change", plugin, tensors(*inputs), tensors((2, 3, 5, 4)))["code"] == 0
        for wrong in ((2, 3, 4, 5), (2, 4, 5, 4), (2, 3, 20)):
            refused(
                harness("change", plugin, tensors(*inputs), tensors(wrong)),
                r"output: expected \(2, 3, 5, 4\), got",
            )
        out = tensors((2, 3, 5, 4), first="f16")
        refused(
            harness("change", plugin, tensors(*inputs), out), "output: expected type and layout of the source"
        )
        source = tensors(*inputs, first="f16", layout="chw2")
        out = tensors((2, 3, 5, 4), first="f16", layout="chw2")
        refused(harness("change", plugin, source, out), "source: expected the layout kLINEAR")


@each_version()
def test_lengths_past_32_bits_and_sources_without_pixels_are_refused(include: Path) -> None:
    with Harness.on_host(include) as harness:
        plugin, given = harness.plugin(OP_TYPE, output_size=(5, 4)), harness.plugin(GIVEN)
        wide = ((2, 3, 7, 2**31), *tuple(GOOD.values())[1:])
        refused(
            harness("change", plugin, tensors(*wide), tensors((2, 3, 5, 4))), r"source: .*from 0 to 2\^31 - 1"
        )
        grid = ((2, 3, 7, 12), (2, 2**16, 2**15, 2))
        out = tensors((2, 3, 2**16, 2**15))
        refused(harness("change", given, tensors(*grid), out), r"grid: .*from 0 to 2\^31 - 1", GIVEN)
        empty = ((2, 3, 0, 12), *tuple(GOOD.values())[1:])
        refused(
            harness("change", plugin, tensors(*empty), tensors((2, 3, 5, 4))),
            "source: expected at least one pixel",
        )


@each_version()
def test_null_pointers_are_refused_by_name(include: Path, tmp_path: Path) -> None:
    file = tmp_path / "bytes"
    file.write_bytes(bytes(4 * 2 * 3 * 7 * 12))
    described = tensors(*GOOD.values()), tensors((2, 3, 5, 4))
    with Harness.on_host(include) as harness:
        plugin = harness.plugin(OP_TYPE, output_size=(5, 4))
        for index, name in enumerate((*GOOD, "output")):
            files = [str(file)] * 5
            files[index] = "NULL"
            answer = harness("enqueue", plugin, *described, ";".join(files[:4]), files[4])
            refused(answer, f"{name}: expected an address, got a null pointer")


@each_version()
def test_where_nothing_is_to_be_sampled_nothing_is_launched(include: Path) -> None:
    none, without = "NULL;NULL;NULL;NULL", "NULL"
    with Harness.on_host(include, STN_NO_KERNEL="1") as harness:
        plugin, given = harness.plugin(OP_TYPE, output_size=(5, 4)), harness.plugin(GIVEN)
        for n, c in ((0, 3), (2, 0)):
            inputs = ((n, c, 7, 12), (20, 5), (n, 5, 2), (n, 2))
            answer = harness("enqueue", plugin, tensors(*inputs), tensors((n, c, 5, 4)), none, without)
            assert answer["code"] == 0, answer
        pair = ((2, 3, 7, 12), (2, 0, 4, 2))
        assert (
            harness("enqueue", given, tensors(*pair), tensors((2, 3, 0, 4)), "NULL;NULL", without)["code"]
            == 0
        )


@each_version()
def test_what_the_launch_says_is_told_with_the_fix(include: Path, tmp_path: Path) -> None:
    file = tmp_path / "bytes"
    file.write_bytes(bytes(4 * 2 * 3 * 7 * 12))
    with Harness.on_host(include, STN_NO_KERNEL="1") as harness:
        plugin = harness.plugin(OP_TYPE, output_size=(5, 4))
        described = tensors(*GOOD.values()), tensors((2, 3, 5, 4))
        answer = harness("enqueue", plugin, *described, ";".join([str(file)] * 4), file)
    assert answer["code"] == 209
    assert "launch: cudaErrorNoKernelImageForDevice" in answer["messages"][0]
    assert "stn-deploy plugin build" in answer["messages"][0]
