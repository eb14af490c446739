"""jupyter_kernel_test against the audit kernel, through a client that signs permits, beside the stock kernel."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import unittest
from pathlib import Path
from typing import Any, ClassVar

import jupyter_kernel_test
from support.kernels import COMMAND, Terms, permit_all

TERMS = Terms()


class _Suite(jupyter_kernel_test.KernelTests):  # type: ignore[misc]
    """The whole suite; its subclasses name the kernel."""

    __test__ = False
    language_name = "python"
    file_extension = ".py"
    code_hello_world = "print('hello, world')"
    code_stderr = "import sys; print('test', file=sys.stderr)"
    completion_samples = ({"text": "zi", "matches": {"zip"}},)
    complete_code_samples = ("1", "print('hi')", "def f(x):\n  return x*2\n\n\n")
    incomplete_code_samples = ("print('''hello", "def f(x):\n  x*2")
    invalid_code_samples = ("import = 7q",)
    code_page_something = "zip?"
    code_generate_error = "raise"
    code_execute_result = ({"code": "1+2+3", "result": "6"}, {"code": "[n*n for n in range(1, 4)]", "result": "[1, 4, 9]"})
    code_display_data = ({"code": "from IPython.display import HTML, display; display(HTML('<b>x</b>'))", "mime": "text/html"},)
    code_history_pattern = "1?2*"
    supported_history_operations = ("tail", "search")
    code_inspect_sample = "zip"
    code_clear_output = "from IPython.display import clear_output; clear_output()"
    spec: ClassVar[dict[str, Any]] = {}

    @classmethod
    def setUpClass(cls) -> None:
        folder = Path(tempfile.mkdtemp(prefix="jupyter-audit-spec-"))
        place = folder / "kernels" / cls.kernel_name
        place.mkdir(parents=True)
        (folder / "ipython").mkdir()
        env = {**TERMS.environment(), "IPYTHONDIR": str(folder / "ipython")}
        (place / "kernel.json").write_text(json.dumps({"language": "python", "display_name": cls.kernel_name, "env": env, **cls.spec}))
        cls._kept = os.environ.get("JUPYTER_PATH")
        os.environ["JUPYTER_PATH"] = str(folder)
        super().setUpClass()

    @classmethod
    def tearDownClass(cls) -> None:
        super().tearDownClass()
        if cls._kept is None:
            os.environ.pop("JUPYTER_PATH")
        else:
            os.environ["JUPYTER_PATH"] = cls._kept


class TestStockKernel(_Suite):
    """The baseline: what plain ipykernel does in the same run."""

    __test__ = True
    kernel_name = "stock-for-comparison"
    spec: ClassVar[dict[str, Any]] = {"argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]}


class TestAuditKernel(_Suite):
    """The audit kernel must do all of it too."""

    __test__ = True
    kernel_name = "audit-for-comparison"
    spec: ClassVar[dict[str, Any]] = {"argv": COMMAND}

    @classmethod
    def setUpClass(cls) -> None:
        cls.addClassCleanup(permit_all(TERMS))
        super().setUpClass()


if __name__ == "__main__":
    unittest.main()
