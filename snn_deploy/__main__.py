"""``python -m snn_deploy``."""

from snn_deploy.cli.main import run

run()
