"""Builds a wheel whose hot modules are compiled by mypyc, when it is asked to (docs/decisions/0018-compiled.md).

A build hook of hatchling's, off unless HATCH_BUILD_HOOK_ENABLE_CUSTOM is set. Which modules stands in pyproject.toml.
Their sources are in the wheel as well; Python takes what is compiled.
"""

import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

GROUP = "cloudchamber_compiled"


class CompiledHook(BuildHookInterface):  # type: ignore[type-arg]
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":
            return  # what is worked on stays Python
        self._folder = tempfile.TemporaryDirectory(prefix="cloudchamber-compiled-")
        groups = [[f"src/cloudchamber/{name}.py" for name in self.config[key]] for key in ("modules", "apart")]
        made = build(groups, Path(self._folder.name))
        build_data["force_include"].update({str(path): name for name, path in made.items()})
        build_data["pure_python"] = False
        build_data["infer_tag"] = True

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        if hasattr(self, "_folder"):
            self._folder.cleanup()


def build(groups: list[list[str]], folder: Path) -> dict[str, Path]:
    """Extension modules in `folder`, by their places in a wheel; each group is a library that is loaded as a whole.

    `groups`: paths from the repository's root, which has to be the current folder.
    """
    # Only here: a build without the switch needs neither.
    from mypyc.build import mypycify
    from setuptools import Distribution

    settings = folder / "mypy.ini"
    settings.write_text("[mypy]\nmypy_path = src\nignore_missing_imports = True\n")
    extensions = mypycify(
        ["--config-file", str(settings), "--follow-imports=silent", *(path for group in groups for path in group)],
        separate=[(group, f"{GROUP}_{number}") for number, group in enumerate(groups)],
        target_dir=str(folder / "c"),
        opt_level="2",
        debug_level="0",
    )
    out = folder / "lib"
    command = Distribution({"name": GROUP, "ext_modules": extensions}).get_command_obj("build_ext")
    command.build_lib, command.build_temp, command.parallel = str(out), str(folder / "temp"), True
    command.ensure_finalized()
    command.run()
    return {path.relative_to(out).as_posix(): path for path in sorted(out.rglob("*")) if path.is_file()}
