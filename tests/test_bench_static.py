"""Reports on compiled kernels: whose accesses are how wide, and what is called a fault."""

from typing import Any

import pytest

from tembed import kernels

if not kernels.installed():
    pytest.skip("needs Triton", allow_module_level=True)

import triton
import triton.language as tl

from tembed.bench.assembly import accesses, report
from tembed.bench.static_tables import faults, markdown
from tembed.bench.tables import table
from tembed.bench.variants import DTYPES, build, tile_lengths, variants

PTX = """\
	.param .u64 .ptr .global .align 1 kernel_param_0,
	.param .u64 .ptr .global .align 1 kernel_param_1,
	.param .u32 kernel_param_2
	ld.param.b64 	%rd1, [kernel_param_0];
	ld.param.b64 	%rd2, [kernel_param_1];
	ld.param.s32 	%rd3, [kernel_param_2];
	@%p3 ld.global.b64 { %rd4 }, [ %rd2 + 0 ];
	mul.lo.s64 	%rd5, %rd4, %rd3;
	add.s64 	%rd6, %rd1, %rd5;
	mov.b64 	%rd7, %rd6;
	@%p5 ld.global.v4.b32 { %r1, %r2, %r3, %r4 }, [ %rd7 + 0 ];
	add.s64 	%rd7, %rd7, 512;
	ld.shared.b64 	%rd8, [%r9];
	@!%p5 st.global.cs.v2.b16 [ %rd8 + 0 ], { %rs1, %rs2 };
"""


def test_accesses_belong_to_the_pointer_that_their_address_comes_from() -> None:
    assert accesses(PTX, ["weight_ptr", "indices_ptr", "V"]) == {
        "indices_ptr": {"load": {"64": 1}},
        "weight_ptr": {"load": {"128": 1}},
        "?": {"store": {"32": 1}},
    }


GOOD: dict[str, Any] = {
    "target": "cuda:90", "dtype": "fp32", "D": 64, "kernel": "gather", "rows": 16, "columns": 64, "warps": 4,
    "shared": 0, "registers": 24, "approximations": 0, "divisions": 0, "spills": 0, "atomics": 0,
    "arguments": {
        "indices_ptr": {"load": {"64": 2}}, "weight_ptr": {"load": {"128": 2}}, "out_ptr": {"store": {"128": 2}},
    },
    "loads": {"64": 2, "128": 2}, "stores": {"128": 2},
}  # fmt: skip
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "spills": ({"spills": 8}, "8 spills"),
    "atomics": ({"atomics": 1}, "1 atomics"),
    "approximations": ({"approximations": 1}, "1 approximate operations"),
    "divisions": ({"divisions": 2}, "2 integer divisions"),
    "other instructions": ({"loads": {"32": 1, "128": 2}}, "loads 32/128 bits wide, in PTX 64/128"),
    "narrow loads": ({"arguments": GOOD["arguments"] | {"weight_ptr": {"load": {"64": 1, "128": 1}}}}, "64/128 bits"),
    "narrow stores": ({"arguments": GOOD["arguments"] | {"out_ptr": {"store": {"32": 8}}}}, "stores of out_ptr 32"),
    "narrow loads of nobody": ({"arguments": GOOD["arguments"] | {"?": {"load": {"16": 1}}}}, "loads of ? 16"),
    "no loads": ({"arguments": {"out_ptr": {"store": {"128": 2}}}}, "no load of a row"),
    "narrow instructions": ({"loads": {"16": 2, "128": 2}}, "loads 16/128 bits wide"),
    "no wide instructions": ({"stores": {"64": 2}}, "stores 64 bits wide"),
}


@pytest.mark.parametrize(("change", "message"), WRONG.values(), ids=WRONG)
def test_faults_are_found(change: dict[str, Any], message: str) -> None:
    assert list(faults(GOOD)) == []
    assert any(message in fault for fault in faults(GOOD | change))


def test_rows_of_no_whole_16_bytes_may_be_moved_in_smaller_pieces() -> None:
    narrow = GOOD | {"loads": {"32": 2, "64": 2}, "arguments": GOOD["arguments"] | {"weight_ptr": {"load": {"32": 8}}}}
    assert list(faults(narrow | {"D": 63})) == []
    assert len(list(faults(narrow))) == 2


@triton.jit
def divide_and_creep_kernel(weight_ptr, indices_ptr, out_ptr, size, stride, D: tl.constexpr):
    """Divides by what is known only when it runs, and rows lie where no wide access is sure to be right."""
    n = tl.program_id(0) // size
    d = tl.arange(0, D)
    tl.store(out_ptr + n * D + d, tl.load(weight_ptr + tl.load(indices_ptr + n) * stride + d))


@pytest.mark.skipif(kernels.interpreted(), reason="needs a process that compiles")
def test_planted_faults_are_found() -> None:
    compiled = build(divide_and_creep_kernel, {"D": 512, "num_warps": 4}, "fp32", "cuda:90")
    found = [*faults(GOOD | {"D": 512} | report(compiled))]
    assert [fault.partition(": ")[2] for fault in found] == [
        "1 integer divisions",
        "loads of weight_ptr 32 bits wide",
        "loads 32/64 bits wide",
    ]


@pytest.mark.parametrize("dtype", DTYPES)
def test_tile_lengths_reach_every_tile(dtype: str) -> None:
    lengths = tile_lengths("cuda:90", dtype)
    for D in (16, 48, 300, 768, 1152, 4096, 12_288):
        for name, _, constants in variants("cuda:90", dtype, D):
            tile = {key: value for key, value in constants.items() if key != "D"}
            reached = [
                found for E in lengths[name] for other, _, found in variants("cuda:90", dtype, E) if other == name
            ]
            assert tile in [{key: value for key, value in found.items() if key != "D"} for found in reached]


def test_tables_are_markdown_in_columns() -> None:
    assert table(("name", "n"), [("a", "1"), ("bcdef", "20")]) == (
        "| name  |   n |\n| ----- | --: |\n| a     |   1 |\n| bcdef |  20 |\n"
    )


def test_markdown_has_a_line_for_each_tile_and_the_most_registers_elsewhere() -> None:
    other = {key: value for key, value in GOOD.items() if key != "arguments"} | {"target": "hip:gfx942"}
    text = markdown([GOOD | {"D": 36}, GOOD, other, other | {"registers": 31, "spills": 3}], "cuda:90")
    assert text.count("| gather") == 2
    for words in ("36, 64", "16 x 64", "indices 64, weight 128"):
        assert words in text
    assert text.splitlines()[-2:] == ["| gather              |         31 |", "| spills, all kernels |          3 |"]
