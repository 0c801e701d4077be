"""The sizes of numbers: operands are fp16, sums and the optimizer's state fp32."""

ELEMENT_BYTES = 2  # activations, gradients and weights, on chip and in DRAM
ACCUMULATOR_BYTES = 4  # partial sums, products in the array, weight gradients, master weights and momentum
