"""Visual-token pruning as ONNX graphs: the verbs of `vtc_core`, and pruned encoders exported to files."""
