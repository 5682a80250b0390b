"""`python -m radixlm.launch_server [--model-path DIR] [--host 127.0.0.1] [--port 30000]`."""

from __future__ import annotations

import sys

from .runtime.cli import launch_server

if __name__ == "__main__":
    sys.exit(launch_server())
