"""The examples of README.md run as they stand."""

import os
import pathlib
import re
import unittest

README = pathlib.Path(__file__).resolve().parents[1] / "README.md"
DEMO = pathlib.Path(os.environ["TKP_SOURCE_DIR"]) / "examples" / "demo"


class Readme(unittest.TestCase):
    def test_every_example(self):
        blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.S)
        self.assertGreaterEqual(len(blocks), 2)
        names = {}
        for number, block in enumerate(blocks):
            with self.subTest(block=number):
                if "import numpy" in block:
                    try:
                        import numpy  # noqa: F401
                    except ImportError:
                        self.skipTest("NumPy is not here")
                code = block.replace('"model"', repr(str(DEMO / "model")))
                code = code.replace(
                    '"picture.png"', repr(str(DEMO / "images" / "scene_00.png")))
                exec(compile(code, f"README.md, example {number + 1}", "exec"), names)


if __name__ == "__main__":
    unittest.main()
