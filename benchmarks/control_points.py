"""Distance of the predicted control points from the true quads of icdar2015_test, beside the crop's box."""

from __future__ import annotations

import numpy as np
import torch
from _record import arguments, dataset, keep

from stn_deploy.data import open_dataset
from stn_deploy.export import rectifier_from_artifact
from stn_deploy.geometry import control_point_targets
from stn_deploy.runtime import DEFAULT_MODEL
from stn_deploy.training.loss import point_error
from stn_deploy.training.pool import PoolSettings, pool_of_scenes
from stn_deploy.training.real import RealWord


@torch.inference_mode()
def main() -> None:
    """Mean distance of the twenty points of each crop in text heights; then over the crops."""
    options = arguments(__doc__)
    rectifier = rectifier_from_artifact(DEFAULT_MODEL)
    spec = rectifier.spec
    settings = PoolSettings(thumbnail_size=spec.thumbnail_size, control_points=spec.control_points, seed=0)
    with open_dataset(dataset(options, "icdar2015_test.zip")) as samples:
        scenes = [
            RealWord(image=sample.image(), quad=sample.quad, text=sample.text).scene(spec.control_points)
            for sample in samples
            if sample.quad is not None
        ]
    pool = pool_of_scenes(scenes, settings)
    sizes, truth = torch.from_numpy(pool.sizes), torch.from_numpy(pool.points)
    box = torch.tensor(control_point_targets(spec.control_points))  # the identity: the whole crop
    predicted = {
        "stn-deploy": rectifier.predict_points(torch.from_numpy(pool.thumbnails).float(), sizes),
        "no rectifier (the crop's box)": box.float().expand_as(truth),
    }
    result = {}
    for name, points in predicted.items():
        error = point_error(points, truth, sizes).numpy()
        result[name] = {
            "mean": round(float(error.mean()), 4),
            "median": round(float(np.median(error)), 4),
            "p90": round(float(np.quantile(error, 0.9)), 4),
        }
    keep("control_points", {"crops": len(scenes), "error_in_text_heights": result})


if __name__ == "__main__":
    main()
