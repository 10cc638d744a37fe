"""Known holes in the packages of a requirements file, by pip-audit: ``python .ci/known_holes.py FILE [options of pip-audit]``.

Ends with 1 when a package has one. Where the list cannot be reached, which is where most machines of a studio stand, that is said in one
line and nothing fails: whether the network is there says nothing about the packages.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

_UNREACHABLE = ("ConnectionError", "Timeout", "ProxyError", "SSLError", "Could not connect", "Max retries exceeded", "ServiceError")
_TIMEOUT_S = "15"


def main(requirements: str, *options: str) -> int:
    """The exit code; what was found goes to stdout, and what went wrong to stderr."""
    with tempfile.TemporaryDirectory(prefix="known-holes-") as folder:
        found = Path(folder) / "found.json"
        how = ["--disable-pip", "--no-deps", "--progress-spinner", "off", "--timeout", _TIMEOUT_S, "--desc", "off"]
        command = [sys.executable, "-m", "pip_audit", *how, "-r", requirements, "-f", "json", "-o", str(found), *options]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        packages = json.loads(found.read_text())["dependencies"] if found.is_file() and found.stat().st_size else None
    if packages is None:
        said = done.stderr.strip().splitlines() or ["it said nothing"]
        if any(word in line for word in _UNREACHABLE for line in said):
            print("known holes were not looked for: the list of vulnerabilities cannot be reached")
            return 0
        sys.stderr.write(f"known holes: pip-audit failed on {requirements}: {said[-1].strip()}\n")
        return 1
    known = [package for package in packages if "skip_reason" not in package]
    if not known:
        print(f"known holes were not looked for: the list of vulnerabilities knows none of the {len(packages)} packages of {requirements}")
        return 0
    holes = [(package, hole) for package in known for hole in package["vulns"]]
    for package, hole in holes:
        mended = f"mended in {', '.join(hole['fix_versions'])}" if hole["fix_versions"] else "not mended yet"
        print(f"{package['name']} {package['version']}: {hole['id']}, {mended}")
    unknown = f"; {len(packages) - len(known)} more are not on the list" if len(known) < len(packages) else ""
    print(f"known holes: {len(holes)} in {len(known)} packages{unknown}")
    return 1 if holes else 0


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
