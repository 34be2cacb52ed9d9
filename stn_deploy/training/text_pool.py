"""The pool of crops of which only the text is known, for the recognition loss."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from stn_deploy.data import thumbnail_batch
from stn_deploy.errors import ImageError
from stn_deploy.training.recogniser import LONGEST, encode, refusal

if TYPE_CHECKING:
    from stn_deploy.data import Dataset
    from stn_deploy.training.real import RealWord

PICTURE_SIZE = (48, 160)
"""Height and width of the grey pictures that the straightened crops are sampled from, pixels."""


@dataclass(frozen=True, kw_only=True)
class TextWord:
    """A crop and what it says. image: (h, w, 3) uint8."""

    image: NDArray[np.uint8]
    text: str


@dataclass(frozen=True, kw_only=True)
class TextPool:
    """Crops with their text.

    thumbnails: (N, 3, h, w) uint8. sizes: (N, 2) float32, height and width of the crops, pixels.
    pictures: (N, 1, 48, 160) uint8, the crops in grey. labels: (N, LONGEST) int64, 0 after the last.
    lengths: (N,) int64.
    """

    thumbnails: NDArray[np.uint8]
    sizes: NDArray[np.float32]
    pictures: NDArray[np.uint8]
    labels: NDArray[np.int64]
    lengths: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.sizes)

    @classmethod
    def empty(cls, count: int, thumbnail_size: tuple[int, int]) -> TextPool:
        """Room for crops."""
        return cls(
            thumbnails=np.empty((count, 3, *thumbnail_size), np.uint8),
            sizes=np.empty((count, 2), np.float32),
            pictures=np.empty((count, 1, *PICTURE_SIZE), np.uint8),
            labels=np.empty((count, LONGEST), np.int64),
            lengths=np.empty(count, np.int64),
        )

    @classmethod
    def of(cls, words: Sequence[TextWord], thumbnail_size: tuple[int, int]) -> TextPool:
        """The pool of words without `refusal`."""
        pool = cls.empty(len(words), thumbnail_size)
        if words:
            images = [word.image for word in words]
            pool.thumbnails[:] = np.rint(thumbnail_batch(images, thumbnail_size))
        for index, word in enumerate(words):
            grey: Any = cv2.cvtColor(word.image, cv2.COLOR_BGR2GRAY)
            pool.sizes[index] = grey.shape
            pool.pictures[index, 0] = cv2.resize(grey, PICTURE_SIZE[::-1], interpolation=cv2.INTER_AREA)
            labels = encode(word.text)
            pool.lengths[index] = len(labels)
            pool.labels[index] = [*labels, *[0] * (LONGEST - len(labels))]
        return pool

    def put(self, start: int, part: TextPool) -> None:
        """Copy crops to their place."""
        for name, array in part.arrays().items():
            self.arrays()[name][start : start + len(part)] = array

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays by their names."""
        return {
            "thumbnails": self.thumbnails,
            "sizes": self.sizes,
            "pictures": self.pictures,
            "labels": self.labels,
            "lengths": self.lengths,
        }


def readable(words: Sequence[RealWord]) -> list[TextWord]:
    """The real words that a recogniser can learn from."""
    return [TextWord(image=word.image, text=word.text) for word in words if refusal(word.text) is None]


def load_text_words(dataset: Dataset) -> tuple[list[TextWord], dict[str, int]]:
    """The words without quad or points that a recogniser can learn from; for each reason the number left out.

    Words with a quad are no business of this function, see `stn_deploy.training.real.load_real_words`.
    """
    words: list[TextWord] = []
    left_out: Counter[str] = Counter()
    for sample in dataset:
        if sample.quad is not None or sample.points is not None:
            continue
        reason = refusal(sample.text)
        if reason is not None:
            left_out[reason] += 1
            continue
        try:
            words.append(TextWord(image=sample.image(), text=sample.text))
        except ImageError:
            left_out["with an image that cannot be used"] += 1
    return words, dict(left_out)
