"""Run nightferry as ``python -m nightferry``."""

from nightferry.cli.app import main

if __name__ == "__main__":  # a worker process that is spawned imports this module under another name
    main()
