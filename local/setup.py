"""Put the three functions, which lie beside this folder, into the package that is built."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class WithFunctions(build_py):
    """Copies what `adjourn up` runs, so that it does so without a checkout, too."""

    def run(self) -> None:
        """Build as always, then copy."""
        super().run()
        if not self.editable_mode:
            target = Path(self.build_lib) / "adjourn_local" / "deployed"
            for main in Path(__file__).parent.parent.glob("functions/*/main.py"):
                (target / main.parent.name).mkdir(parents=True, exist_ok=True)
                shutil.copyfile(main, target / main.parent.name / main.name)


setup(cmdclass={"build_py": WithFunctions})
