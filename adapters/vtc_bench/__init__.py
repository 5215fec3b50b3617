"""What pruning costs and saves: multiply-adds from the config, and interleaved timings."""
