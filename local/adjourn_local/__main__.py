"""Run the command line: `python -m adjourn_local`."""

from adjourn_local.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
