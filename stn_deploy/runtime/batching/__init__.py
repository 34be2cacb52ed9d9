"""Items from many threads, computed in batches: the micro-batcher of a service.

The rules are pure: `line` (which item goes when; the time is an argument) and `isolation` (one bad item never
spoils its batch). Threads live in `crew` alone.
"""

from __future__ import annotations

from stn_deploy.runtime.batching.batcher import Batcher
from stn_deploy.runtime.batching.counters import BatchCounters
from stn_deploy.runtime.batching.limits import BatchLimits
from stn_deploy.runtime.batching.rectifying import batching_rectifier

__all__ = ["BatchCounters", "BatchLimits", "Batcher", "batching_rectifier"]
