"""The recogniser that teaches the rectifier where only the text of a crop is known.

As in the paper, localisation is trained end to end by the task behind it: a small convolutional recogniser
reads the straightened crop, and its loss flows back through the sampler into the localisation network. It
lives in training alone; what ships is the rectifier.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"
"""What the recogniser tells apart; capital letters count as small ones."""
LONGEST = 24
"""Characters of the longest label."""
INPUT_SIZE = (32, 100)
"""Height and width of the straightened crop that it reads, pixels."""

_BLANK = 0


def refusal(text: str) -> str | None:
    """Why the recogniser cannot learn from a label; None where it can."""
    if not text:
        return "with an empty label"
    if len(text) > LONGEST:
        return f"with a label of more than {LONGEST} characters"
    if not set(text.lower()) <= set(ALPHABET):
        return "with characters in the label other than a-z, A-Z and 0-9"
    return None


def encode(text: str) -> list[int]:
    """The classes, 1 to 36, of the characters of a text without `refusal`."""
    return [ALPHABET.index(character) + 1 for character in text.lower()]


class Recogniser(nn.Module):
    """Straightened grey crop -> for each of 25 columns the logits of each character and of none."""

    def __init__(self, channels: tuple[int, ...] = (32, 64, 96, 128)) -> None:
        """Build the network.

        Args:
            channels: of the four convolutions.
        """
        super().__init__()
        layers: list[nn.Module] = []
        before = 1
        for after, stride in zip(channels, [(2, 2), (2, 2), (2, 1), (2, 1)], strict=True):
            convolution = nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False)
            layers += [convolution, nn.BatchNorm2d(after), nn.ReLU(inplace=True)]
            before = after
        self.features = nn.Sequential(*layers)
        self.columns = nn.Sequential(
            nn.Conv1d(2 * before, 2 * before, 5, padding=2, bias=False),
            nn.BatchNorm1d(2 * before),
            nn.ReLU(inplace=True),
            nn.Conv1d(2 * before, 2 * before, 5, padding=2, bias=False),
            nn.BatchNorm1d(2 * before),
            nn.ReLU(inplace=True),
            nn.Conv1d(2 * before, len(ALPHABET) + 1, 1),
        )

    def forward(self, crops: Tensor) -> Tensor:
        """Logits of the characters.

        Args:
            crops: (n, 1, 32, 100), grey, [0, 255].
        Returns:
            (n, 37, 25); class 0 is the blank of the loss.
        """
        spread, mean = torch.std_mean(crops, dim=(1, 2, 3), keepdim=True)
        features = self.features((crops - mean) / (spread + 4.0))
        logits: Tensor = self.columns(features.flatten(1, 2))
        return logits


def recognition_loss(logits: Tensor, labels: Tensor, lengths: Tensor) -> Tensor:
    """Connectionist temporal classification, per character.

    Args:
        logits: (n, 37, columns), see `Recogniser`.
        labels: (n, LONGEST), 1 to 36, then anything. lengths: (n,), of the labels, at least 1.
    Returns:
        scalar. A label that does not fit into the columns counts nothing.
    Source: Graves et al. 2006.
    """
    steps = F.log_softmax(logits.float(), dim=1).permute(2, 0, 1)
    columns = torch.full_like(lengths, steps.shape[0])
    loss: Tensor = F.ctc_loss(steps, labels, columns, lengths, blank=_BLANK, zero_infinity=True)
    return loss
