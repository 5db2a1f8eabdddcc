"""`python -m tests.bench.one_invocation MODULE FUNCTION EVENT_FILE MEMORY_MB TIMEOUT_SECONDS`.

Invokes a function in this new process, and prints one line of JSON on stderr. It imports what Lambda imports,
and nothing else. The time of the invocation runs as it would on AWS: see `lambda_seconds`.
"""

import importlib
import json
import sys
import time
from pathlib import Path

# Lambda gives a function with so much memory one processor.
# https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html
MB_OF_A_PROCESSOR = 1_769
# Stores in the cloud are further away and busier than here.
WAIT_FACTOR = 4


def lambda_seconds(cpu: float, wall: float, memory_mb: int) -> float:
    """CPU ÷ the function's share of a processor, and four times what it waited."""
    share = min(1, memory_mb / MB_OF_A_PROCESSOR)
    return cpu / share + WAIT_FACTOR * max(0.0, wall - cpu)


class Context:
    """The context object that Lambda gives to a function."""

    aws_request_id = "0" * 32
    function_name = "ordinal-bench"
    invoked_function_arn = "arn:aws:lambda:us-east-1:000000000000:function:ordinal-bench"

    def __init__(self, memory_mb: int, timeout_seconds: int) -> None:
        self.memory_limit_in_mb = memory_mb
        self._timeout_seconds = timeout_seconds
        self._began = time.perf_counter(), time.process_time()

    def get_remaining_time_in_millis(self) -> int:
        return int((self._timeout_seconds - self.seconds()) * 1000)

    def seconds(self) -> float:
        """What the invocation has taken so far, on Lambda."""
        return lambda_seconds(self.cpu(), self.wall(), self.memory_limit_in_mb)

    def cpu(self) -> float:
        return time.process_time() - self._began[1]

    def wall(self) -> float:
        return time.perf_counter() - self._began[0]


def main() -> None:
    """Invoke the function once, and print the figures."""
    module, function, event_file, memory_mb, timeout_seconds = sys.argv[1:]
    handler = getattr(importlib.import_module(module), function)
    event = json.loads(Path(event_file).read_bytes())
    context = Context(int(memory_mb), int(timeout_seconds))
    response = handler(event, context)
    figures = {
        "seconds": context.seconds(),
        "cpu": context.cpu(),
        "wall": context.wall(),
        "memory_mb": _peak_mb(),
        "response": response,
    }
    print("\n" + json.dumps(figures), file=sys.stderr)


def _peak_mb() -> float:
    """The peak of this program, and not of the process that started it."""
    status = Path("/proc/self/status").read_text()
    [line] = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    main()
