import subprocess
import sys


def test_importing_the_package_does_not_import_torch() -> None:
    program = "import sys, radixlm.radix_cache; sys.exit('torch' in sys.modules)"
    path = [entry for entry in sys.path if entry]
    subprocess.run([sys.executable, "-c", program], check=True, env={"PYTHONPATH": ":".join(path)})
