"""The claims of docs/validation.md, and the tests that show them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Claim:
    """One sentence of the page, and the tests that show it, as ``file::test`` under ``tests/``."""

    text: str
    tests: tuple[str, ...]


EXACT = (
    Claim(
        "Cycles of a GEMM on the array, its first and its last output: a register-level model in numpy",
        ("timing/test_array_exact.py::test_cycles_and_product", "timing/test_array_exact.py::test_edges"),
    ),
    Claim(
        "... whose timetable is the earliest: if any wave starts one cycle earlier, a result is spoiled",
        ("timing/test_array_exact.py::test_no_wave_could_start_one_cycle_earlier",),
    ),
    Claim(
        "... and which equals the array in Verilog, cycle for cycle (needs Icarus Verilog)",
        (
            "rtl/test_rtl_array.py::test_verilog_equals_the_numpy_model",
            "rtl/test_rtl_array.py::test_verilog_equals_the_numpy_model_on_random_gemms",
        ),
    ),
    Claim(
        "Groups of a convolution side by side in the array give PyTorch's results, in the cycles and register writes "
        "that are counted, in numpy and in Verilog",
        (
            "unit/test_packing.py::test_every_layout_computes_its_products_in_its_cycles",
            "unit/test_packing.py::test_packed_products_are_a_grouped_convolution",
            "rtl/test_rtl_array.py::test_verilog_on_groups_side_by_side",
        ),
    ),
    Claim(
        "The products of a data gradient are PyTorch's gradient, and no phase of a convolution takes more than PyTorch "
        "counts; one over the whole image equals the linear layer in every figure",
        (
            "unit/test_data_gradients.py::test_the_products_are_the_gradient",
            "unit/test_data_gradients.py::test_trimmed_waves_are_the_gradient",
            "unit/test_data_gradients.py::test_no_phase_takes_more_macs_than_pytorch_counts",
            "unit/test_data_gradients.py::test_a_convolution_over_the_whole_image_is_a_linear_layer_in_every_figure",
        ),
    ),
    Claim(
        "DRAM bytes of every tensor: counted by hand on small networks, and the same in plan, program and both engines",
        (
            "unit/test_traffic.py::test_the_chain_through_dram",
            "unit/test_traffic.py::test_the_chain_on_chip",
            "unit/test_traffic.py::test_a_residual_block",
            "properties/test_engine_laws.py::test_bytes_bounds_space_and_sums",
        ),
    ),
    Claim(
        "The program computes the right values: run on real numbers in the buffer's space, it yields PyTorch's loss, "
        "weight gradients and updated weights under all six schedules, in any order of its queues (needs PyTorch)",
        (
            "crosscheck/test_interpreter.py::test_every_gradient_is_autograds",
            "crosscheck/test_interpreter.py::test_any_order_of_the_queues_gives_the_same_numbers",
        ),
    ),
    Claim(
        "A time step of an LSTM takes the array's cycles and then those of its vector sweep; its weights stay on "
        "chip from exactly the buffer size that holds them",
        (
            "timing/test_time_steps.py::test_a_time_step_takes_the_register_level_arrays_cycles",
            "timing/test_time_steps.py::test_each_time_step_is_filled_drained_and_swept",
            "properties/test_recurrent_laws.py::test_time_steps_never_overlap",
            "unit/test_recurrent.py::test_weights_stay_to_the_byte_from_which_they_fit",
        ),
    ),
    Claim(
        "Every DRAM constraint is met at the earliest legal picosecond; equal to a reference that moves single bursts",
        (
            "timing/test_dram.py::test_the_last_slot_begins_before_the_refresh",
            "timing/test_dram.py::test_read_to_write_waits_for_the_data_and_the_turnaround",
            "properties/test_dram_laws.py::test_equals_the_burst_by_burst_referee",
        ),
    ),
    Claim(
        "DRAMsim3 takes as long for our requests, streams within 3.5 % and mixed traffic within 10 % (5 % in the mean)",
        (
            "crosscheck/test_dramsim3.py::test_single_streams_take_the_same_time",
            "crosscheck/test_dramsim3.py::test_mixed_traffic_takes_the_same_time",
        ),
    ),
    Claim(
        "Parameters and multiply-accumulates of the networks equal published counts",
        ("paper/test_published_counts.py::test_parameters", "paper/test_published_counts.py::test_forward_macs"),
    ),
    Claim(
        "Two equal runs give identical results, in one process and in two",
        (
            "properties/test_engine_laws.py::test_two_runs_are_identical",
            "smoke/test_cli.py::test_two_processes_print_the_same",
        ),
    ),
    Claim(
        "The exported DRAM trace contains every byte of the run, in order",
        (
            "unit/test_trace.py::test_dramsim3_lines_are_the_bytes_of_the_run_in_order",
            "unit/test_trace.py::test_the_probe_is_told_of_every_byte_and_changes_nothing",
        ),
    ),
)

LAWS = (
    Claim(
        "Checked after every run: bytes are those of the plan, no unit is busy for longer than the step, the step is "
        "not faster than the roofline, the buffer never overflows, rows and energy add up",
        (
            "unit/test_invariants.py::test_a_doctored_run_is_caught",
            "unit/test_invariants.py::test_every_invariant_is_violated_once",
        ),
    ),
    Claim(
        "With the same plan, faster hardware never makes a step slower; a larger buffer never moves more bytes",
        (
            "properties/test_engine_laws.py::test_faster_hardware_is_never_slower",
            "properties/test_plan_laws.py::test_twice_the_buffer_moves_no_more",
        ),
    ),
    Claim(
        "Each further layer or iteration costs as much as the one before; exchanging cores changes nothing",
        (
            "properties/test_engine_laws.py::test_each_further_layer_costs_the_same",
            "properties/test_engine_laws.py::test_more_iterations_cost_as_much_more",
            "properties/test_engine_laws.py::test_cores_may_be_exchanged",
        ),
    ),
    Claim(
        "The event engine equals hand calculation for single commands: fill, drain, overlap, DRAM-bound streams",
        (
            "timing/test_event_engine.py::test_a_gemm_alone_fills_issues_and_drains",
            "timing/test_event_engine.py::test_a_stream_is_bound_by_dram",
            "timing/test_event_engine.py::test_the_next_operands_load_while_the_array_works",
        ),
    ),
)

ENGINES = Claim(
    "The engines share the program but no code for its timing; bytes, counts and busy cycles are equal",
    ("crosscheck/test_engines_agree.py::test_small_networks", "crosscheck/test_engines_agree.py::test_resnet50"),
)
PEER = (
    Claim(
        "SCALE-Sim's cycles follow a closed form, equal to the measured cycles for every layer, array and dataflow",
        (
            "crosscheck/test_scalesim.py::test_closed_form_equals_the_measured_cycles",
            "crosscheck/test_scalesim.py::test_closed_form_equals_scalesim_live",
        ),
    ),
    Claim(
        "A topology file that runs as a workload has as many multiply-accumulates as SCALE-Sim counts",
        ("properties/test_topology_laws.py::test_every_layer_has_scalesims_macs_outputs_and_weights",),
    ),
)
BANDWIDTH = Claim(
    "The model's sustained bandwidth is that of the closed form",
    (
        "timing/test_dram.py::test_sequential_bandwidth_is_the_closed_form",
        "timing/test_dram.py::test_mixed_bandwidth_is_the_closed_form",
    ),
)
