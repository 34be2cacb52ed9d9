"""Every error that stn-deploy raises on purpose.

    StnDeployError
    |-- ArgumentError (ValueError)      an argument out of its range or of the wrong kind
    |   `-- ShapeError                  an array of the wrong shape
    |-- ImageError                      one image that cannot be used: unreadable, truncated, too large ...
    |-- DatasetError                    a dataset without a needed file, column or sample
    |-- ArtifactError                   a model file that is not ours, too new, or damaged
    |-- BatchError                      a batch whose handler did not give a result for each item
    |   |-- QueueFullError              an item that found no room in the line
    |   `-- DeadlineError (TimeoutError) an item whose deadline passed before it was taken up
    |-- ClosedError                     something used after it was closed, or in a fork of its process
    |-- EngineError                     an engine that cannot be built, or that does not fit this machine
    |-- OutputError                     a result that could not be written
    |-- TrainingError                   training that cannot go on, for example a loss that is not finite
    `-- MissingDependency (ImportError) an optional package that is not installed

Each message says what was wrong, what was expected, what came, and how to mend it.
"""

from __future__ import annotations


class StnDeployError(Exception):
    """Root of all errors raised by stn-deploy."""


class ArgumentError(StnDeployError, ValueError):
    """An argument is out of its range or of the wrong kind."""


class ShapeError(ArgumentError):
    """An array has the wrong shape."""


class ImageError(StnDeployError):
    """One image cannot be used."""


class DatasetError(StnDeployError):
    """A dataset lacks a file, a column or samples."""


class ArtifactError(StnDeployError):
    """A model file is not a rectifier of ours, is of a newer format, or is damaged."""


class BatchError(StnDeployError):
    """A batch, or an item for one, could not be computed."""


class QueueFullError(BatchError):
    """An item found no room in the line."""


class DeadlineError(BatchError, TimeoutError):
    """The deadline of an item passed before the item was taken up."""


class ClosedError(StnDeployError):
    """Something was used after it was closed, or in a fork of the process that it lives in."""


class EngineError(StnDeployError):
    """An engine cannot be built, or does not fit the machine that it is to run on."""


class OutputError(StnDeployError):
    """A result could not be written."""


class TrainingError(StnDeployError):
    """Training cannot go on."""


class MissingDependency(StnDeployError, ImportError):
    """An optional package is not installed."""

    @classmethod
    def of(cls, package: str, extra: str) -> MissingDependency:
        """The error for ``package``, which the extra ``extra`` would have installed."""
        return cls(
            f"{package} is not installed; pip install -c constraints.txt '.[{extra}]' in the checkout, "
            f"or, once published, pip install 'stn-deploy[{extra}]'"
        )
