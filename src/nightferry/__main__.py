"""Run nightferry as ``python -m nightferry``."""

from nightferry.cli.app import main

main()
