"""Largest differences between torch, the full graph and the split CPU path, for the shipped rectifier."""

from __future__ import annotations

import dataclasses
from itertools import islice

from _record import arguments, dataset, keep

from stn_deploy.data import open_dataset
from stn_deploy.export import verify
from stn_deploy.runtime import DEFAULT_MODEL

CROPS = 64


def main() -> None:
    """On the rendered crops of ``stn-deploy verify``, and on real ones."""
    options = arguments(__doc__)
    with open_dataset(dataset(options, "icdar2015_test.zip")) as samples:
        real = [sample.image() for sample in islice(samples, CROPS)]
    result = {
        name: [
            {**dataclasses.asdict(item), "passed": item.passed}
            for item in verify(DEFAULT_MODEL, images=images)
        ]
        for name, images in (("rendered", None), ("icdar2015_test", real))
    }
    keep("parity", result)


if __name__ == "__main__":
    main()
