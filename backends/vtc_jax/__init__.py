"""Visual-token pruning in JAX: the verbs of `vtc_core`, and a Flax CLIP encoder that is cheaper pruned than whole."""
