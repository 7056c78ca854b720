"""Whether all of it holds on a GPU; see gpu_check.sh."""
