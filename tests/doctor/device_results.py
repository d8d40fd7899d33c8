"""Results of a self-test: a device that works, and such that died."""

from __future__ import annotations

from dataclasses import replace

from relay_gguf.doctor.result import CPU, PLAIN_CPU, DeviceResult

WORKS = DeviceResult(CPU, "works", "", "Some CPU", "CPU", ("CPU",), 0.02, 0.002, 0.0007)
AMX_DIES = replace(WORKS, outcome="died", detail="SIGSEGV at several tokens of Q8_0")
PLAIN_WORKS = replace(WORKS, device=PLAIN_CPU)
GPU_DIES = DeviceResult("CUDA0", "died", "SIGABRT at loading of Q8_0", "Tesla K80", "CUDA")
