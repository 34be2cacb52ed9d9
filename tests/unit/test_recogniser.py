"""The recogniser reads, says where the text is, and lets no label spoil its loss."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from stn_deploy.training.recogniser import (
    ALPHABET,
    INPUT_SIZE,
    LONGEST,
    Recogniser,
    encode,
    recognition_loss,
    refusal,
)

WORDS = ["stop", "Book7", "ee"]


def pictures(words: list[str]) -> Tensor:
    """White words on black, (n, 1, 32, 100)."""
    height, width = INPUT_SIZE
    drawn = []
    for word in words:
        image = np.zeros((height, width), np.uint8)
        cv2.putText(image, word, (4, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.8, 255, 2, cv2.LINE_AA)
        drawn.append(image)
    return torch.from_numpy(np.stack(drawn)).float()[:, None]


def labels(words: list[str]) -> tuple[Tensor, Tensor]:
    codes = [encode(word) for word in words]
    padded = [[*code, *[0] * (LONGEST - len(code))] for code in codes]
    return torch.tensor(padded), torch.tensor([len(code) for code in codes])


def reading(logits: Tensor) -> str:
    """The likeliest class of each column, without repetitions and blanks."""
    best = logits.argmax(dim=0).tolist()
    kept = [now for before, now in zip([0, *best], best, strict=False) if now and now != before]
    return "".join(ALPHABET[value - 1] for value in kept)


def test_it_learns_to_read_three_words() -> None:
    torch.manual_seed(0)
    recogniser = Recogniser(channels=(8, 16, 16, 16)).train()
    optimiser = torch.optim.AdamW(recogniser.parameters(), lr=5e-3)
    crops, (codes, lengths) = pictures(WORDS), labels(WORDS)
    losses = []
    for _ in range(150):
        optimiser.zero_grad()
        loss = recognition_loss(recogniser(crops), codes, lengths)
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.1 * losses[0]
    assert [reading(logits) for logits in recogniser(crops)] == ["stop", "book7", "ee"]


def test_its_columns_run_along_the_text() -> None:
    """Of two halves that swap places, the logits swap places."""
    recogniser = Recogniser().eval()
    crops = torch.zeros(2, 1, *INPUT_SIZE)
    crops[0, 0, 8:24, 20:24] = crops[1, 0, 8:24, 72:76] = 255
    logits = recogniser(crops)
    assert logits.shape == (2, len(ALPHABET) + 1, 25)
    column = (logits[0] - logits[1]).abs().sum(dim=0)
    assert column[:12].argmax() in range(3, 8)
    assert (logits[0, :, 5] - logits[1, :, 18]).abs().max() < 1e-4


def test_the_loss_of_one_label_is_its_sum_over_all_ways_to_write_it() -> None:
    """Two columns, the label "a": a-, -a and aa."""
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(1, 37, 2, generator=generator)
    chances = logits.softmax(dim=1)[0]
    a = encode("a")[0]
    by_hand = chances[a, 0] * chances[0, 1] + chances[0, 0] * chances[a, 1] + chances[a, 0] * chances[a, 1]
    codes, lengths = labels(["a"])
    assert abs(recognition_loss(logits, codes, lengths) + by_hand.log()) < 1e-5


def test_what_stands_after_a_label_does_not_matter() -> None:
    logits = torch.randn(2, 37, 25, generator=torch.Generator().manual_seed(2))
    codes, lengths = labels(["stop", "a"])
    other = torch.where(codes == 0, 7, codes)
    assert torch.equal(recognition_loss(logits, codes, lengths), recognition_loss(logits, other, lengths))


def test_a_label_that_does_not_fit_the_columns_counts_nothing() -> None:
    """A letter and its repetition need a column between them: 24 equal ones need 47."""
    logits = torch.randn(2, 37, 25, generator=torch.Generator().manual_seed(3)).requires_grad_()
    both = recognition_loss(logits, *labels(["stop", "e" * LONGEST]))
    alone = recognition_loss(logits[:1], *labels(["stop"]))
    assert abs(both - alone / 2) < 1e-5
    both.backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    assert logits.grad[0].abs().sum() > 0
    assert logits.grad[1].abs().sum() == 0
    longest = (ALPHABET * 2)[:LONGEST]
    assert recognition_loss(logits[:1], *labels([longest])) > 0


def test_a_crop_of_one_colour_has_finite_gradients() -> None:
    crops = torch.full((3, 1, *INPUT_SIZE), 40.0, requires_grad=True)
    recognition_loss(Recogniser()(crops), *labels(WORDS)).backward()
    assert crops.grad is not None
    assert crops.grad.isfinite().all()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Exit", None),
        ("A1" * (LONGEST // 2), None),
        ("", "with an empty label"),
        ("a" * (LONGEST + 1), "with a label of more than 24 characters"),
        ("two words", "with characters in the label other than a-z, A-Z and 0-9"),
        ("café", "with characters in the label other than a-z, A-Z and 0-9"),
        ("R&D", "with characters in the label other than a-z, A-Z and 0-9"),
        (
            "\u0130",
            "with characters in the label other than a-z, A-Z and 0-9",
        ),  # two characters in lower case
    ],
)
def test_labels_that_it_cannot_learn_from_have_a_reason(text: str, reason: str | None) -> None:
    assert refusal(text) == reason


def test_capitals_count_as_small_letters() -> None:
    assert encode("aZ09") == encode("Az09") == [11, 36, 1, 10]
