"""The kernels as a table launches them, by its dtype and row length, and how to compile them for any target.

Needs a process that does not interpret.
"""

from collections.abc import Iterator
from typing import Any

DTYPES = {"bf16": 2, "fp32": 4, "fp64": 8}
LONGEST_ALIGNED = 16_384  # elements of the longest row that is tried, if a program of max_norm holds no longer one

# Types of the arguments that are not constants; "T" is the table's, "A" the accumulator's.
POINTERS = {
    "weight_ptr": "T", "out_ptr": "T", "zeros_ptr": "T", "grad_ptr": "T", "partial_ptr": "A",
    "indices_ptr": "i64", "order_ptr": "i64", "length_ptr": "i64", "next_length_ptr": "i64", "unique_ptr": "i64",
    "rows_ptr": "i64", "reports_ptr": "i64",
    "keys_ptr": "i32", "ids_ptr": "i32", "targets_ptr": "i32", "starts_ptr": "i8", "begins_ptr": "i8",
}  # fmt: skip
DOUBLES = ("max_norm", "p")
ONES = ("stride_weight_d", "stride_d", "stride_indices_n")
MULTIPLES = ("size",)  # whole 16 elements


def variants(target: str, dtype: str, D: int) -> Iterator[tuple[str, Any, dict[str, Any]]]:
    """Name, kernel and constants of everything that a table of this dtype and row length launches."""
    import triton.language as tl

    from tembed.kernels import chunks, gather, merge, norms, rank, renorm, reports, runs
    from tembed.kernels.tiles import (
        MOST_BLOCKS,
        MOST_REGISTERS,
        MOST_SHARED_REGISTERS,
        pick_fill,
        pick_row_tiles,
        pick_tile,
        pick_walk,
    )

    itemsize, lanes = DTYPES[dtype], 64 if target.startswith("hip") else 32
    acc = tl.float64 if dtype == "fp64" else tl.float32

    def tiles(kernel: str, size: int, rows: str) -> dict[str, Any]:
        tile = pick_tile(kernel, D, size, lanes)
        return {"D": D, rows: tile.rows, "BLOCK_D": tile.columns, "num_warps": tile.num_warps}

    table = {**tiles("gather", itemsize, "BLOCK_N"), "PACKED": True, "REPORT": True}
    table["BLOCK"] = reports.looked_through(table["num_warps"], lanes)
    yield "gather", gather.gather_rows_kernel, table
    yield "gather without reports", gather.gather_rows_kernel, {**table, "REPORT": False}
    whole, piece = pick_row_tiles(D, itemsize, lanes)
    norm = {"D": D, "PACKED": True, "BLOCK_N": whole.rows, "BLOCK_D": whole.columns, "num_warps": whole.num_warps}
    looked_up = {**norm, "ACC": acc, "REPORT": True, "BLOCK": reports.looked_through(whole.num_warps, lanes)}
    for p, kind in (*norms.NORMS.items(), ("any", norms.POWER)):
        limit = {"maxnreg": MOST_SHARED_REGISTERS} if p == "any" and target.startswith("cuda") else {}
        yield f"renorm p={p}", renorm.renorm_rows_kernel, {**looked_up, "NORM": kind.value, **limit}
    unreported = {**looked_up, "NORM": norms.NORMS[2.0].value, "REPORT": False}
    yield "renorm p=2.0 without reports", renorm.renorm_rows_kernel, unreported
    back = {"BLOCKS": MOST_BLOCKS, "BLOCK_D": piece.columns, "num_warps": piece.num_warps}
    yield "write back", renorm.write_back_rows_kernel, {**norm, **back}
    yield "gather, any strides", gather.gather_rows_kernel, {**table, "PACKED": False}
    for scale in (False, True):
        flags = {"SCALE": scale, "ACC": acc, **({"maxnreg": MOST_REGISTERS} if target.startswith("cuda") else {})}
        whole_chunks = {**tiles("sum", itemsize, "BLOCK_C"), "CHUNK": 32, "LAYOUT": 0, "NUMBER": False, **flags}
        yield f"sum scale={scale}", chunks.sum_chunks_kernel, whole_chunks
        for layout in (1, 2):
            rows = max(1, whole_chunks["BLOCK_C"] // layout)
            constants = {**whole_chunks, "LAYOUT": layout, "BLOCK_C": rows}
            yield f"sum scale={scale} layout={layout}", chunks.sum_chunks_kernel, constants
            name = f"sum and number scale={scale} layout={layout}"
            yield name, chunks.sum_chunks_kernel, {**constants, "NUMBER": True}
        yield f"sum and number scale={scale}", chunks.sum_chunks_kernel, {**whole_chunks, "NUMBER": True}
        wide = 8 if dtype == "fp64" else 4
        walk, zeros = pick_walk(D, wide, lanes), pick_fill(D, itemsize, lanes)
        walking = {"D": D, "BLOCK_C": walk.rows, "BLOCK_D": walk.columns, "num_warps": walk.num_warps, **flags}
        for name, rows, number in (("", 0, False), (" and number", 0, True), (" and fill", zeros.rows, False)):
            constants = {**walking, "BLOCK_V": rows, "FILL_D": zeros.columns, "NUMBER": number}
            yield f"walk{name} scale={scale}", merge.finish_kernel, constants
        yield f"merge scale={scale}", merge.merge_partials_kernel, {**tiles("merge", wide, "BLOCK_C"), **flags}
    ranks = {"BLOCK_N": rank.BLOCK_N, "BLOCK_M": rank.BLOCK_M, "BLOCK": rank.BLOCK, "num_warps": 4}
    for mark in (False, True):
        yield f"rank{' and mark' if mark else ''}", rank.rank_lookups_kernel, {**ranks, "MARK": mark}
    marked = {"BLOCK_N": reports.MARKED, "num_warps": 4}
    for report in (False, True):
        yield f"mark{' and report' if report else ''}", reports.mark_bad_indices_kernel, {**marked, "REPORT": report}
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
    options = {name: constants.pop(name) for name in ("num_warps", "maxnreg") if name in constants}
    signature, attributes = {}, {}
    for position, name in enumerate(kernel.arg_names):
        if name in ONES:
            constants[name] = 1
        if name in constants:
            signature[name] = "constexpr"
        elif name.endswith("_ptr"):
            signature[name] = "*" + types.get(POINTERS[name], POINTERS[name])
            # "D": whole 16 bytes; "S": a buffer under 2 GiB, from which hip derives its buffer instructions
            aligned = "" if kernel.params[position].do_not_specialize_on_alignment else "D"
            attributes[(position,)] = make_backend(gpu).parse_attr(aligned + ("S" if backend == "hip" else ""))
        else:
            signature[name] = "fp64" if name in DOUBLES else "i32"
            if name in MULTIPLES:
                attributes[(position,)] = make_backend(gpu).parse_attr("D")
    constexprs = {(kernel.arg_names.index(name),): value for name, value in constants.items()}
    return triton.compile(ASTSource(kernel, signature, constexprs, attributes), target=gpu, options=options)


def tile_lengths(target: str, dtype: str) -> dict[str, set[int]]:
    """For each kernel the row lengths that reach every tile it has: the shortest and the longest of whole 16 bytes."""
    from tembed.kernels.tiles import LONGEST_ROW

    step = max(1, 16 // DTYPES[dtype])
    reached: dict[tuple[str, tuple[object, ...]], set[int]] = {}
    longest = max(LONGEST_ALIGNED, LONGEST_ROW // DTYPES[dtype])
    for D in (*range(step, longest + 1, step), 2 * longest):
        for name, _, constants in variants(target, dtype, D):
            key = name, tuple(value for constant, value in constants.items() if constant != "D")
            reached[key] = {min(reached.get(key, {D})), D}
    found: dict[str, set[int]] = {}
    for (name, _), ends in reached.items():
        found.setdefault(name, set()).update(ends)
    return found
