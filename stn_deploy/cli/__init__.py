"""The command ``stn-deploy``: one thin file per subcommand, no logic."""

from __future__ import annotations

from stn_deploy.cli.app import app, main

__all__ = ["app", "main"]
