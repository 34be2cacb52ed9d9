"""Put the standard operators in the place of the node, for engines that know no functions."""

from __future__ import annotations

from onnx import ModelProto, inliner

from stn_deploy.export.node import DOMAIN, OP_TYPE
from stn_deploy.export.passes.nodes import expect_function


def inline_function(model: ModelProto) -> ModelProto:
    """The model with each ThetaGridSample replaced by the standard operators that define it.

    The result needs nothing of stn-deploy and computes the same numbers, bit by bit where the engine does not
    fuse; but no plugin can take the node any more.

    Raises:
        ArtifactError: there is no such node, or no function.
    """
    expect_function(model)
    inlined: ModelProto = inliner.inline_selected_functions(model, [(DOMAIN, OP_TYPE)])
    for opset in [each for each in inlined.opset_import if each.domain == DOMAIN]:
        inlined.opset_import.remove(opset)
    return inlined
