"""The subcommands of `adjourn`: one module for each, whose `add` declares it to the parser."""

import argparse
from collections.abc import Callable

Add = Callable[..., argparse.ArgumentParser]
