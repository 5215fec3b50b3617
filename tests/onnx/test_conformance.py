"""The suite, on the verbs and on one checkpoint; all of it takes minutes: an export for every setting of an encoder."""

from ..conformance.running import run_suite


def test_the_suite_is_green(tmp_path):
    chosen = "not encoder or (test_encoder and odd and float32) or an_encoder"
    ran = run_suite(tmp_path, "--vtc-backend", "vtc_onnx", "-k", chosen)
    assert ran.code == 0, ran.output
    assert {test["outcome"] for test in ran.tests} == {"passed"}
    of_encoders = {test["clause"] for test in ran.tests if "encoder" in test["test"]}
    assert of_encoders == {"S1", "S3", "S4", "S6", "S8", "ERRORS"}
