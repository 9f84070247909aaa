"""Run one file of tests: 0 passed, 1 failed, 77 when all were skipped.

    run.py FILE
"""

import importlib.util
import sys
import unittest

spec = importlib.util.spec_from_file_location("tests", sys.argv[1])
module = importlib.util.module_from_spec(spec)
try:
    spec.loader.exec_module(module)
except unittest.SkipTest as reason:
    print(f"skipped: {reason}")
    sys.exit(77)
result = unittest.TextTestRunner(verbosity=1).run(
    unittest.defaultTestLoader.loadTestsFromModule(module))
for test, reason in result.skipped:
    print(f"skipped: {test.id()}: {reason}")
if not result.wasSuccessful() or result.testsRun + len(result.skipped) == 0:
    sys.exit(1)
sys.exit(77 if len(result.skipped) >= result.testsRun else 0)
