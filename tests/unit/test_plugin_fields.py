"""Creators of the C++ plugin: fields in, a plugin out, the same fields out of it again; what they refuse."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path
from typing import Any

from stn_deploy.export.node import DOMAIN, OP_TYPE
from tests.node_models import KINDS, SIZES
from tests.plugin_library import Harness, each_version

GIVEN = "GivenGridSample"
OWN = ("plugin_namespace", "plugin_version")
REFUSED = [
    (OP_TYPE, "", "output_size: expected height and width, or depth, height and width, got no such field"),
    (OP_TYPE, "output_size=INT32:5", "output_size: expected height and width, .* got 1 integer$"),
    (OP_TYPE, "output_size=INT32:5,4,3,2", "output_size: .* got 4 integers"),
    (OP_TYPE, "output_size=INT32:-", "output_size: .* got 0 integers"),
    (OP_TYPE, "output_size=INT32:5,-4", r"output_size: expected no negative length and .*, got \(5, -4\)"),
    (
        OP_TYPE,
        "output_size=INT32:65536,32768",
        r"output_size: .* fewer than 2\^31 positions, got \(65536,",
    ),
    (OP_TYPE, "output_size=INT64:4294967296,4294967296", r"output_size: .* fewer than 2\^31 positions"),
    (OP_TYPE, "output_size=INT64:0,4294967297", r"output_size: .*, got \(0, 4294967297\)"),
    (OP_TYPE, "output_size=INT32:-1,4", r"output_size: .*, got \(-1, 4\)"),
    (OP_TYPE, "output_size=INT32:NULL", "output_size: expected data, got a null pointer"),
    (OP_TYPE, "output_size=FLOAT32:5,4", "output_size: expected integers, INT32 or INT64, got field type 1"),
    (OP_TYPE, "interpolation=INT32:3 output_size=INT32:5,4", "interpolation: .* 2 .cubic., got 3"),
    (OP_TYPE, "interpolation=INT32:-1 output_size=INT32:5,4", "interpolation: .*, got -1"),
    (OP_TYPE, "interpolation=INT64:4294967297 output_size=INT32:5,4", "interpolation: .*, got 4294967297"),
    (OP_TYPE, "interpolation=INT32:1,1 output_size=INT32:5,4", "interpolation: expected one integer, got 2"),
    (OP_TYPE, "interpolation=INT32:2 output_size=INT32:5,4,3", "interpolation: .* for a volume, got 2"),
    (OP_TYPE, "padding=CHAR:98 output_size=INT32:5,4", "padding: expected integers, .* modes are codes"),
    (OP_TYPE, "padding=INT32:3 output_size=INT32:5,4", "padding: expected 0 .border., .*, got 3"),
    (OP_TYPE, "align_corners=INT32:2 output_size=INT32:5,4", "align_corners: expected 0 or 1, got 2"),
    (OP_TYPE, "homogeneous=INT32:-1 output_size=INT32:5,4", "homogeneous: expected 0 or 1, got -1"),
    (
        OP_TYPE,
        "mode=INT32:1 output_size=INT32:5,4",
        "fields: expected interpolation, .*, output_size, got mode",
    ),
    (OP_TYPE, "NULL", "fields: expected a collection, got a null pointer"),
    (GIVEN, "NULL", "fields: expected a collection, got a null pointer"),
    (GIVEN, "padding=INT32:7", "padding: .*, got 7"),
    (
        GIVEN,
        "output_size=INT32:5,4",
        "fields: expected interpolation, padding, align_corners, got output_size",
    ),
    (GIVEN, "homogeneous=INT32:1", "fields: .* got homogeneous"),
]


@each_version()
def test_there_are_two_creators_and_they_name_their_fields(include: Path) -> None:
    common = ["interpolation", "padding", "align_corners"]
    with Harness.on_host(include) as harness:
        assert harness("creators")["creators"] == [
            [[GIVEN, "1", DOMAIN], common],
            [[OP_TYPE, "1", DOMAIN], [*common, "homogeneous", "output_size"]],
        ]


@each_version()
def test_what_the_exported_node_says_comes_back_out_of_the_plugin_its_copies_and_its_engine(
    include: Path,
) -> None:
    with Harness.on_host(include) as harness:
        for kind in KINDS:
            fields: dict[str, Any] = {k: v for k, v in kind.attributes.items() if k not in OWN}
            size = SIZES[kind.dimensions][1]
            plugin = harness.plugin(OP_TYPE, output_size=size, **fields)
            expected = [[name, 1, [value]] for name, value in fields.items()] + [
                ["output_size", 1, list(size)]
            ]
            again = harness("again", plugin)["plugin"]
            clone = harness("clone", again)["plugin"]
            for each in (plugin, again, clone):
                assert harness("fields", each)["fields"] == expected


@each_version()
def test_fields_that_are_not_given_are_linear_and_border(include: Path) -> None:
    with Harness.on_host(include) as harness:
        common = [["interpolation", 1, [1]], ["padding", 1, [0]], ["align_corners", 1, [0]]]
        plugin = harness.plugin(OP_TYPE, output_size=(5, 4))
        own = [["homogeneous", 1, [0]], ["output_size", 1, [5, 4]]]
        assert harness("fields", plugin)["fields"] == common + own
        assert harness("fields", harness.plugin(GIVEN))["fields"] == common


@each_version()
def test_fields_of_64_bits_are_read_as_well(include: Path) -> None:
    with Harness.on_host(include) as harness:
        made = harness("create", OP_TYPE, "output_size=INT64:3,2,5", "padding=INT64:2")["plugin"]
        fields = {name: values for name, _, values in harness("fields", made)["fields"]}
        assert (fields["output_size"], fields["padding"]) == ([3, 2, 5], [2])


@each_version()
def test_a_plugin_says_what_it_is(include: Path) -> None:
    with Harness.on_host(include) as harness:
        for name, fields in ((OP_TYPE, {"output_size": (5, 4)}), (GIVEN, {})):
            core = harness("core", harness.plugin(name, **fields))
            assert (core["core"], core["outputs"]) == ([name, "1", DOMAIN], 1)


@each_version()
def test_plugins_share_timings_only_where_all_their_fields_are_equal(include: Path) -> None:
    with Harness.on_host(include) as harness:
        names = ("interpolation", "padding", "align_corners", "homogeneous", "output_size")
        settings = product((0, 1), (0, 2), (0, 1), (0, 1), ((5, 4), (4, 5)))
        plugins = [harness.plugin(OP_TYPE, **dict(zip(names, values, strict=True))) for values in settings]
        ids = [harness("timing", plugin)["id"] for plugin in plugins]
        assert len(set(ids)) == len(ids)
        one, other = (harness.plugin(OP_TYPE, output_size=(5, 4)) for _ in range(2))
        assert harness("timing", one) == harness("timing", other)
        assert harness("timing", one)["metadata"] == harness("timing", one)["id"]


@each_version()
def test_a_copy_outlives_what_it_was_copied_from(include: Path) -> None:
    with Harness.on_host(include) as harness:
        first = harness("create", OP_TYPE, "output_size=INT32:5,4")["plugin"]
        clone, attached = harness("clone", first)["plugin"], harness("attach", first)["plugin"]
        harness("destroy", first)
        for copy in (clone, attached):
            assert harness("fields", copy)["fields"][-1] == ["output_size", 1, [5, 4]]
            assert "5" in harness("timing", copy)["id"]


@each_version()
def test_bad_fields_make_no_plugin_but_a_message(include: Path) -> None:
    with Harness.on_host(include) as harness:
        for name, fields, _ in REFUSED:
            assert harness("create", name, *fields.split())["plugin"] is None, fields
    said = harness.said.splitlines()
    assert len(said) == len(REFUSED)
    for line, (name, _, message) in zip(said, REFUSED, strict=True):
        assert re.match(f"{name}: {message}", line), line


@each_version()
def test_messages_go_to_the_recorder_of_the_context_and_only_without_one_to_standard_error(
    include: Path,
) -> None:
    with Harness.on_host(include) as harness:
        alone = harness("create", OP_TYPE, "output_size=INT32:5,4")["plugin"]
        attached = harness("attach", alone)["plugin"]
        clone = harness("clone", attached)["plugin"]
        for plugin, count in ((alone, 0), (attached, 1), (clone, 1)):
            answer = harness("types", plugin, "u8,f32,f32,f32", 1)
            assert answer["code"] != 0
            assert len(answer["messages"]) == count
    assert harness.said.count("source: expected float32, float16 or bfloat16, got uint8") == 1
