# Made by SWIG: private.
from typing import Any

def __getattr__(name: str) -> Any: ...
