"""What a camera and a file format do to a picture."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray


def degrade(rng: Generator, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Light, defocus, motion, low resolution, noise and JPEG, each in a part of the cases.

    Args:
        image: (h, w, 3) uint8.
    Returns:
        (h, w, 3) uint8, same size.
    """
    height, width = image.shape[:2]
    picture: Any = image  # OpenCV's stubs know no dtypes
    if rng.random() < 0.25:
        picture = _uneven_light(rng, picture)
    if rng.random() < 0.3:
        sigma = float(rng.uniform(0.4, 0.012 * height + 0.9))
        picture = cv2.GaussianBlur(picture, (0, 0), sigma)
    elif rng.random() < 0.12:
        picture = _motion_blur(rng, picture)
    if rng.random() < 0.2:
        factor = float(rng.uniform(0.35, 0.8))
        small = (max(4, round(width * factor)), max(4, round(height * factor)))
        picture = cv2.resize(picture, small, interpolation=cv2.INTER_AREA)
        picture = cv2.resize(picture, (width, height), interpolation=cv2.INTER_LINEAR)
    if rng.random() < 0.4:
        loudest = min(16.0, 2 + 0.6 * float(picture.std()))  # what is hardly visible would vanish
        noise = rng.standard_normal((height, width, 1), dtype=np.float32) * rng.uniform(2, loudest)
        picture = np.clip(picture + noise, 0, 255).astype(np.uint8)
    if rng.random() < 0.35:
        _, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(20, 95))])
        picture = cv2.imdecode(data, cv2.IMREAD_COLOR)
    return np.ascontiguousarray(picture, np.uint8)


def _uneven_light(rng: Generator, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    corners = rng.uniform(0.45, 1.25, (2, 2)).astype(np.float32)
    light = cv2.resize(corners, image.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    return np.clip(image * light[..., None], 0, 255).astype(np.uint8)


def _motion_blur(rng: Generator, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    reach = 2 * int(rng.integers(1, 3 + image.shape[0] // 40)) + 1
    kernel = np.zeros((reach, reach), np.float32)
    angle = rng.uniform(0, np.pi)
    step = np.array([np.cos(angle), np.sin(angle)]) * (reach // 2)
    middle = reach // 2
    ends = [tuple(int(v) for v in np.round(middle + sign * step)) for sign in (-1, 1)]
    cv2.line(kernel, ends[0], ends[1], 1.0, 1)
    return np.asarray(cv2.filter2D(image, -1, kernel / kernel.sum()), np.uint8)
