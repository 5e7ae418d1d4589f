"""The subcommands of `adjourn`: one module for each, with `add` for the parser."""

import argparse
from collections.abc import Callable

Add = Callable[..., argparse.ArgumentParser]
