"""The suite, on the verbs and on one checkpoint; all of it takes minutes: an export for every setting of an encoder."""

import os
import subprocess
import sys

import pytest


@pytest.mark.parametrize("tests", ["not encoder", "test_encoder and odd and float32", "an_encoder"])
def test_the_suite_is_green(tmp_path, tests):
    command = [sys.executable, "-m", "pytest", "-q", "--tb=short", "-p", "no:cacheprovider", "-c", os.devnull]
    command += ["--rootdir", str(tmp_path), "--pyargs", "vtc_conformance", "--vtc-backend", "vtc_onnx", "-k", tests]
    done = subprocess.run(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout[-3000:]
