"""What a compiled kernel consists of: registers, spills, and how wide the accesses to each argument are."""

import re
import subprocess
import tempfile
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

AMD_SIZES = {"dwordx4": "128", "dwordx3": "96", "dwordx2": "64", "dword": "32"}


def report(compiled: Any, disassemble: bool = True) -> dict[str, Any]:
    """Registers, spills, shared memory, integer divisions, and how many loads and stores there are of each width.

    Widths are in bits. On NVIDIA `arguments` has them for each pointer argument besides, from PTX; `loads` and `stores`
    are the machine's own instructions, and need a disassembler, which takes longer than the compiler.
    """
    shared = {"shared": int(compiled.metadata.shared)}
    if "amdgcn" in compiled.asm:
        return shared | _amd(compiled.asm["amdgcn"])
    names = [name for name, kind in compiled.src.signature.items() if kind != "constexpr"]
    return shared | _nvidia(compiled.asm["cubin"], compiled.asm["ptx"], names, disassemble)


def _nvidia(cubin: bytes, ptx: str, names: list[str], disassemble: bool) -> dict[str, Any]:
    import triton.backends.nvidia as backend

    tools = Path(backend.__file__).parent / "bin"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        usage = _output(str(tools / "cuobjdump"), "--dump-resource-usage", file.name)
        sass = _output(str(tools / "nvdisasm"), "-c", file.name) if disassemble else ""

    def widths(operation: str) -> dict[str, int]:
        found = re.findall(rf"\b{operation}\b((?:\.\w+)*)", sass)
        sizes = [re.search(r"\.(?:[US])?(8|16|32|64|128)\b", suffixes) for suffixes in found]
        return dict(Counter(size[1] if size else "32" for size in sizes))

    resources = {name: int(number) for name, number in re.findall(r"(REG|STACK|LOCAL):(\d+)", usage)}
    return {
        "registers": resources["REG"],
        "approximations": len(re.findall(r"\b(?:div\.full|div\.approx|sqrt\.approx|rsqrt\.approx|rcp\.approx)", ptx)),
        "divisions": len(re.findall(r"\b(?:div|rem)\.[su]\d", ptx)),
        "spills": len(re.findall(r"\b(?:LDL|STL)\b", sass)) + resources["LOCAL"] + resources["STACK"],
        "atomics": len(re.findall(r"\b(?:red|atom)\.", ptx)) + len(re.findall(r"\b(?:RED|ATOMG?)\b", sass)),
        "arguments": accesses(ptx, names),
        **({"loads": widths("LDG"), "stores": widths("STG")} if disassemble else {}),
    }


def accesses(ptx: str, names: list[str]) -> dict[str, dict[str, dict[str, int]]]:
    """For each pointer argument how many loads and stores there are of each width; "?" where PTX does not tell whose.

    An access belongs to the pointer that its address is computed from. What was loaded from memory is no part of that.

    Args:
        names: of the arguments that are no constants, in order.
    """
    pointers = {int(k) for k in re.findall(r"\.param \.u64 \.ptr[^\n]*?_param_(\d+)", ptx)}
    roots: dict[str, int] = {}
    sources: dict[str, set[str]] = defaultdict(set)
    touched: list[tuple[str, str, str]] = []
    for line in ptx.splitlines():
        operation, _, operands = re.sub(r"^\s*(@!?%p\d+\s+)?", "", line).partition(" ")
        registers = re.findall(r"%[a-z]+\d+", operands)
        kind, *modifiers = operation.split(".")
        if operation.startswith("ld.param"):
            if registers and (place := re.search(r"_param_(\d+)", operands)):
                roots[registers[0]] = int(place[1])
        elif kind in ("ld", "st") and "global" in modifiers:
            address = re.search(r"\[\s*(%rd\d+)", operands)
            touched.append((address[1] if address else "", kind, _width(modifiers)))
        elif kind != "ld" and registers:
            sources[registers[0]].update(registers[1:])

    found: dict[str, dict[str, Counter[str]]] = defaultdict(lambda: {"load": Counter(), "store": Counter()})
    for register, kind, width in touched:
        owners = {roots[source] for source in _behind(register, sources) if source in roots} & pointers
        name = names[owners.pop()] if len(owners) == 1 else "?"
        found[name]["load" if kind == "ld" else "store"][width] += 1
    return {name: {kind: dict(count) for kind, count in kinds.items() if count} for name, kinds in found.items()}


def _behind(register: str, sources: dict[str, set[str]]) -> set[str]:
    """The register and all that it was computed from."""
    seen, waiting = {register}, [register]
    while waiting:
        new = sources.get(waiting.pop(), set()) - seen
        seen |= new
        waiting += new
    return seen


def _width(modifiers: list[str]) -> str:
    element = next(int(m[1:]) for m in reversed(modifiers) if re.fullmatch(r"[bsuf]\d+", m))
    lanes = next((int(m[1:]) for m in modifiers if re.fullmatch(r"v\d", m)), 1)
    return str(element * lanes)


def _amd(text: str) -> dict[str, Any]:
    def field(name: str) -> int:
        found = re.search(rf"\.{name}:\s+(\d+)", text)
        return int(found[1]) if found else 0

    def widths(kind: str) -> dict[str, int]:
        found = re.findall(rf"\b(?:global|buffer|flat)_{kind}_(\w+)", text)
        return dict(Counter(AMD_SIZES.get(size, "16" if "16" in size or "short" in size else "8") for size in found))

    return {
        "registers": field("vgpr_count"),
        # an integer is divided by way of its reciprocal in floating point
        "divisions": len(re.findall(r"\bv_rcp_iflag_f32", text)),
        "spills": field("vgpr_spill_count") + field("sgpr_spill_count"),
        "atomics": len(re.findall(r"\b(?:global|buffer|flat)_atomic", text)),
        "loads": widths("load"),
        "stores": widths("store"),
    }


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
