"""``python -m stn_deploy.cli``."""

from stn_deploy.cli.app import main

main()
