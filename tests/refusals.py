"""What a refusal looks like: an ArgumentError or a ShapeError that says what was expected and what came."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from stn_deploy.errors import ArgumentError


def check_refusal(call: Callable[[], object], error: type[ArgumentError], message: str) -> None:
    """``call`` raises exactly ``error``, beginning as ``message`` does; "..." stands for any words."""
    with pytest.raises(ArgumentError) as caught:
        call()
    assert type(caught.value) is error, repr(caught.value)
    said, parts = str(caught.value), message.split("...")
    assert said.startswith(parts[0]), said
    for part in parts[1:]:
        assert part in said, said
        said = said.partition(part)[2]
