vtc tune --samples 32 --methods vtc-cls --keep 72
