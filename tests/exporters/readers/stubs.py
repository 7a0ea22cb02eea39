"""Stand in for packages that readers import and that reading local files of tokens never calls.

torchvision (mosaicml-streaming's data sets of images) would bring another torch; cached_path (OLMo-core's downloads, a
path as it is where it is local) the clients of three clouds and an older huggingface_hub.
"""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any


def stub(name: str, **names: Any) -> None:
    """Let `import name` give a module with these names."""
    module = ModuleType(name)
    module.__spec__ = ModuleSpec(name, None)
    vars(module).update(names)
    sys.modules[name] = module


class _Client:
    recoverable_errors = ()


def install() -> None:
    """Call it before the imports."""
    stub("torchvision")
    stub("torchvision.datasets", VisionDataset=object)
    stub("torchvision.transforms")
    stub("torchvision.transforms.functional", to_tensor=None)
    stub("cached_path", cached_path=Path)
    stub("cached_path.schemes", S3Client=_Client, SchemeClient=_Client, add_scheme_client=lambda client: None)
