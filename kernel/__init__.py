"""The audit kernel: an IPython kernel that runs only what the server permitted."""
