pytest -q --pyargs vtc_conformance --vtc-backend vtc_core -k s3
