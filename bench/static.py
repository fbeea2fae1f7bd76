"""What the compiler makes of each kernel, for any target and without a GPU: registers, spills, access widths.

    python -m tembed.bench.static cuda:90 hip:gfx942

prints one JSON object a line, the first of the environment. Needs a process that does not interpret, so no
TRITON_INTERPRET.
"""

import argparse
import json
import re
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tembed.bench.environment import environment

TARGETS = ("cuda:80", "cuda:90", "cuda:100", "cuda:120", "hip:gfx90a", "hip:gfx942", "hip:gfx950")
DTYPES = {"bf16": 2, "fp32": 4, "fp64": 8}
LENGTHS = (16, 24, 64, 768, 1152, 4096)

# Types of the arguments that are not constants; "T" is the table's, "A" the accumulator's.
POINTERS = {
    "weight_ptr": "T", "out_ptr": "T", "grad_ptr": "T", "partial_ptr": "A", "next_partial_ptr": "A",
    "indices_ptr": "i64", "order_ptr": "i64", "length_ptr": "i64", "next_length_ptr": "i64", "unique_ptr": "i64",
    "keys_ptr": "i32", "ids_ptr": "i32", "over_ptr": "i8", "starts_ptr": "i8",
}  # fmt: skip
DOUBLES = ("max_norm", "p")
ONES = ("stride_weight_d", "stride_d", "stride_indices_n")


def variants(target: str, dtype: str, D: int) -> Iterator[tuple[str, Any, dict[str, Any]]]:
    """Name, kernel and constants of everything that a table of this dtype and row length launches."""
    import triton.language as tl

    from tembed.kernels import gather, merge, reduce, renorm, runs
    from tembed.kernels.tiles import pick_tile

    itemsize = DTYPES[dtype]
    acc = tl.float64 if dtype == "fp64" else tl.float32

    def tiles(kernel: str, size: int, rows: str) -> dict[str, Any]:
        tile = pick_tile(kernel, D, size, 64 if target.startswith("hip") else 32)
        return {"D": D, rows: tile.rows, "BLOCK_D": tile.columns, "num_warps": tile.num_warps}

    table = {**tiles("gather", itemsize, "BLOCK_N"), "PACKED": True}
    yield "gather", gather.gather_rows_kernel, table
    norm = {**tiles("renorm", itemsize, "BLOCK_N"), "PACKED": True}
    for p, kind in (*renorm.NORMS.items(), ("any", renorm.POWER)):
        yield f"renorm p={p}", renorm.renorm_rows_kernel, {**norm, "NORM": kind.value, "ACC": acc}
    yield "write back", renorm.write_back_rows_kernel, norm
    yield "gather, any strides", gather.gather_rows_kernel, {**table, "PACKED": False}
    for scale in (False, True):
        flags = {"SCALE": scale, "ACC": acc}
        chunks = {**tiles("sum", itemsize, "BLOCK_C"), "CHUNK": 32, "LAYOUT": 0}
        yield f"sum scale={scale}", reduce.sum_chunks_kernel, {**chunks, **flags}
        for layout in (1, 2):
            constants = {**chunks, **flags, "LAYOUT": layout}
            yield f"sum scale={scale} layout={layout}", reduce.sum_chunks_kernel, constants
        partials = tiles("merge", 8 if dtype == "fp64" else 4, "BLOCK_C")
        yield f"merge scale={scale}", merge.merge_partials_kernel, {**partials, **flags}
    for kernel in (runs.encode_keys_kernel, runs.mark_starts_kernel, runs.write_unique_kernel):
        yield kernel.fn.__name__, kernel, {"BLOCK_N": runs.BLOCK, "num_warps": 4}


def build(kernel: Any, constants: dict[str, Any], dtype: str, target: str) -> Any:
    """The kernel compiled as the launcher would have it for aligned pointers and contiguous tensors."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource, make_backend

    backend, arch = target.split(":")
    gpu = GPUTarget("cuda", int(arch), 32) if backend == "cuda" else GPUTarget("hip", arch, 64)
    types = {"T": dtype, "A": "fp64" if dtype == "fp64" else "fp32"}
    constants = dict(constants)
    options = {"num_warps": constants.pop("num_warps")}
    signature, attributes = {}, {}
    for position, name in enumerate(kernel.arg_names):
        if name in ONES:
            constants[name] = 1
        if name in constants:
            signature[name] = "constexpr"
        elif name in POINTERS:
            signature[name] = "*" + types.get(POINTERS[name], POINTERS[name])
            # "S": a buffer under 2 GiB, from which hip derives its buffer instructions
            attributes[(position,)] = make_backend(gpu).parse_attr("D" if backend == "cuda" else "DS")
        else:
            signature[name] = "fp64" if name in DOUBLES else "i32"
    constexprs = {(kernel.arg_names.index(name),): value for name, value in constants.items()}
    return triton.compile(ASTSource(kernel, signature, constexprs, attributes), target=gpu, options=options)


def report(compiled: Any) -> dict[str, Any]:
    """Registers, spills, and how many loads and stores there are of each width in bits."""
    if "amdgcn" in compiled.asm:
        return _amd(compiled.asm["amdgcn"])
    return _nvidia(compiled.asm["cubin"], compiled.asm["ptx"])


def _nvidia(cubin: bytes, ptx: str) -> dict[str, Any]:
    import triton.backends.nvidia as backend

    tools = Path(backend.__file__).parent / "bin"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        usage = _output(str(tools / "cuobjdump"), "--dump-resource-usage", file.name)
        sass = _output(str(tools / "nvdisasm"), "-c", file.name)

    def widths(operation: str) -> dict[str, int]:
        found = re.findall(rf"\b{operation}\b((?:\.\w+)*)", sass)
        sizes = [re.search(r"\.(?:[US])?(8|16|32|64|128)\b", suffixes) for suffixes in found]
        return dict(Counter(size[1] if size else "32" for size in sizes))

    resources = dict(re.findall(r"(REG|STACK|LOCAL):(\d+)", usage))
    return {
        "registers": int(resources["REG"]),
        "approximations": len(re.findall(r"\b(?:div\.full|div\.approx|sqrt\.approx|rsqrt\.approx|rcp\.approx)", ptx)),
        "spills": len(re.findall(r"\b(?:LDL|STL)\b", sass)) + int(resources["LOCAL"]) + int(resources["STACK"]),
        "atomics": len(re.findall(r"\b(?:RED|ATOMG?)\b", sass)),
        "loads": widths("LDG"),
        "stores": widths("STG"),
    }


def _amd(text: str) -> dict[str, Any]:
    def field(name: str) -> int:
        found = re.search(rf"\.{name}:\s+(\d+)", text)
        return int(found[1]) if found else 0

    def widths(kind: str) -> dict[str, int]:
        sizes = {"dwordx4": "128", "dwordx3": "96", "dwordx2": "64", "dword": "32"}
        found = re.findall(rf"\b(?:global|buffer|flat)_{kind}_(\w+)", text)
        return dict(Counter(sizes.get(size, "16" if "16" in size or "short" in size else "8") for size in found))

    return {
        "registers": field("vgpr_count"),
        "spills": field("vgpr_spill_count") + field("sgpr_spill_count"),
        "atomics": len(re.findall(r"\b(?:global|buffer|flat)_atomic", text)),
        "loads": widths("load"),
        "stores": widths("store"),
    }


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def main() -> None:
    """One JSON line for each target, dtype, row length and kernel."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", default=list(TARGETS))
    parser.add_argument("--dtypes", nargs="+", choices=DTYPES, default=list(DTYPES))
    parser.add_argument("--lengths", nargs="+", type=int, default=list(LENGTHS), metavar="D")
    arguments = parser.parse_args()
    print(json.dumps({"environment": environment("cpu")}))
    for target in arguments.targets:
        for dtype in arguments.dtypes:
            for D in arguments.lengths:
                for name, kernel, constants in variants(target, dtype, D):
                    result = report(build(kernel, constants, dtype, target))
                    print(json.dumps({"target": target, "dtype": dtype, "D": D, "kernel": name, **result}), flush=True)


if __name__ == "__main__":
    main()
