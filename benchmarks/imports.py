"""What `import tokenflight` adds to `import httpx`, which its users import anyway."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from statistics import median

from benchmarks.measure import Figure, interleaved, ratio

ROUNDS = 41
TIMED = "import time; start = time.process_time(); {}; print(time.process_time() - start)"
LAZY = ("asyncio", "tenacity", "trio", "tokenflight.ext.httpx", "importlib.metadata", "tokenflight.testing")


async def run(scale: float) -> list[Figure]:
    """Measure in interpreters of their own, whose bytecode is written before."""
    rounds = max(5, int(ROUNDS * scale))
    with tempfile.TemporaryDirectory() as cache:
        environment = {
            **os.environ,
            "PYTHONPYCACHEPREFIX": cache,
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        }
        environment.pop("PYTHONDONTWRITEBYTECODE", None)

        def seconds(code: str) -> float:
            return float(_python(environment, code))

        async def httpx_alone() -> float:
            return seconds(TIMED.format("import httpx"))

        async def beyond_httpx() -> float:
            return seconds("import httpx; " + TIMED.format("import tokenflight"))

        times = await interleaved(rounds, {"httpx": httpx_alone, "tokenflight": beyond_httpx})
        loaded = _python(environment, f"import sys, tokenflight; print(sum(name in sys.modules for name in {LAZY!r}))")
    value, spread = ratio(times, "tokenflight", "httpx")
    size = f"{rounds} interpreters each"
    return [
        Figure(name="floor: import httpx", value=median(times["httpx"]) * 1e3, unit="ms", size=size),
        Figure(
            name="import tokenflight beyond httpx",
            value=median(times["tokenflight"]) * 1e3,
            unit="ms",
            target=30.0,
            size=size,
        ),
        Figure(name="import tokenflight to import httpx", value=value, unit="×", spread=spread, size=size),
        Figure(name=f"loaded too early, of {', '.join(LAZY)}", value=float(loaded), unit="modules", target=0.0),
    ]


def _python(environment: dict[str, str], code: str) -> str:
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
