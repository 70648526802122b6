# SPDX-License-Identifier: Apache-2.0
"""locket-provider, started in a folder."""
from harness import BUILD, Skip, accepts


def start_provider(programs, folder, stores, flags=()):
    """Serves these stores in this folder. Skips the test when the program is not there."""
    program = BUILD / "bin/locket-provider"
    if not program.exists():
        raise Skip(f"{program.name} is not built")
    programs.start(
        "provider",
        [program, f"--provider-dir={folder}", "--stores=" + ",".join(stores),
         f"--readable={programs.folder}", *flags],
        lambda: all(accepts(folder / f"{store}.sock") for store in stores),
    )
