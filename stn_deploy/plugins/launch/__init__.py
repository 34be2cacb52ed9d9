"""From addresses in the memory of a GPU to a kernel that runs: knows neither torch nor CuPy."""

from __future__ import annotations

from stn_deploy.plugins.launch.launcher import GpuLauncher, Launcher, gpu_launcher
from stn_deploy.plugins.launch.plan import Kernel, Launch, Lengths, Sampling, blocks_for, plan_launch

__all__ = [
    "GpuLauncher",
    "Kernel",
    "Launch",
    "Launcher",
    "Lengths",
    "Sampling",
    "blocks_for",
    "gpu_launcher",
    "plan_launch",
]
