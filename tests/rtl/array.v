// A weight-stationary systolic array of ROWS x COLUMNS elements with skewed weight load.
//
// Words carry how many elements they still have to go ("hops"): a weight moves down until it has reached
// its row, an operand moves right until it has visited its tile's columns.  The first operand of a wave is
// marked; where it passes, an element with two weight registers latches the loaded weight.

`default_nettype none

module element #(
    parameter DOUBLE = 1,  // 1: a second weight register, 0: one
    parameter DATA = 16,   // bits of an operand and of a weight
    parameter SUM = 48,    // bits of a partial sum
    parameter HOPS = 8     // bits of a hop count
) (
    input  wire                   clock,
    input  wire                   reset,
    // from above, and on to below
    input  wire                   weight_valid,
    input  wire signed [DATA-1:0] weight,
    input  wire        [HOPS-1:0] weight_hops,
    output reg                    weight_moves,
    output reg  signed [DATA-1:0] loaded,
    output reg         [HOPS-1:0] loaded_hops,
    input  wire                   sum_valid,
    input  wire signed [SUM-1:0]  sum,
    output reg                    sum_out_valid,
    output reg  signed [SUM-1:0]  sum_out,
    // from the left, and on to the right
    input  wire                   operand_valid,
    input  wire                   first,
    input  wire signed [DATA-1:0] operand,
    input  wire        [HOPS-1:0] operand_hops,
    output reg                    operand_moves,
    output reg                    first_out,
    output reg  signed [DATA-1:0] operand_out,
    output reg         [HOPS-1:0] operand_out_hops
);
    reg  signed [DATA-1:0] active;
    // The mark selects the loaded weight in the cycle in which it is latched.
    wire signed [DATA-1:0] multiplier = (DOUBLE && !first) ? active : loaded;
    wire signed [SUM-1:0]  product = multiplier * operand;

    always @(posedge clock) begin
        if (reset) begin
            weight_moves  <= 0;
            sum_out_valid <= 0;
            operand_moves <= 0;
            first_out     <= 0;
            loaded        <= 0;
            active        <= 0;
        end else begin
            if (weight_valid) loaded <= weight;
            weight_moves <= weight_valid && weight_hops != 0;
            loaded_hops  <= weight_hops - 1'b1;

            if (operand_valid && first) active <= loaded;
            operand_moves    <= operand_valid && operand_hops != 0;
            operand_out      <= operand;
            operand_out_hops <= operand_hops - 1'b1;
            first_out        <= first;

            sum_out       <= operand_valid ? sum + product : sum;
            sum_out_valid <= sum_valid;
        end
    end
endmodule


// The grid.  A static `entry` row takes weights and opens partial sums; rows above it stay idle.
// Operand row j of a tile enters at array row entry + j.
module systolic_array #(
    parameter ROWS = 4,
    parameter COLUMNS = 4,
    parameter DOUBLE = 1,
    parameter DATA = 16,
    parameter SUM = 48,
    parameter HOPS = 8
) (
    input  wire                    clock,
    input  wire                    reset,
    input  wire [HOPS-1:0]         entry,
    // one weight row of a tile, all columns at once; its skew is made here
    input  wire [COLUMNS-1:0]      weight_valid,
    input  wire [COLUMNS*DATA-1:0] weight,
    input  wire [HOPS-1:0]         weight_hops,
    // one operand row of a tile, all elements at once; its skew is made here
    input  wire [ROWS-1:0]         operand_valid,
    input  wire                    first,
    input  wire [ROWS*DATA-1:0]    operand,
    input  wire [HOPS-1:0]         operand_hops,
    // the lower edge: valid in the cycle after the lowest element computed it
    output wire [COLUMNS-1:0]      sum_valid,
    output wire [COLUMNS*SUM-1:0]  sum
);
    localparam WEIGHT_WORD = 1 + DATA + HOPS;
    localparam OPERAND_WORD = 2 + DATA + HOPS;

    // Skew: column c's weights wait c cycles, operand row j of a tile waits j cycles.
    wire [WEIGHT_WORD-1:0]  late_weight  [0:COLUMNS-1];
    wire [OPERAND_WORD-1:0] late_operand [0:ROWS-1];

    genvar r, c;
    generate
        for (c = 0; c < COLUMNS; c = c + 1) begin : weight_skew
            delay #(.WIDTH(WEIGHT_WORD), .CYCLES(c)) wait_c (
                clock, reset, {weight_valid[c], weight[c*DATA +: DATA], weight_hops}, late_weight[c]
            );
        end
        for (r = 0; r < ROWS; r = r + 1) begin : operand_skew
            delay #(.WIDTH(OPERAND_WORD), .CYCLES(r)) wait_r (
                clock, reset, {operand_valid[r], first, operand[r*DATA +: DATA], operand_hops}, late_operand[r]
            );
        end
    endgenerate

    // What moves down (index: row * COLUMNS + column, row 0 is the upper edge) and right (COLUMNS + 1 a row).
    wire                   down_weight_valid [0:(ROWS+1)*COLUMNS-1];
    wire signed [DATA-1:0] down_weight       [0:(ROWS+1)*COLUMNS-1];
    wire        [HOPS-1:0] down_hops         [0:(ROWS+1)*COLUMNS-1];
    wire                   down_sum_valid    [0:(ROWS+1)*COLUMNS-1];
    wire signed [SUM-1:0]  down_sum          [0:(ROWS+1)*COLUMNS-1];
    wire                   right_valid       [0:ROWS*(COLUMNS+1)-1];
    wire                   right_first       [0:ROWS*(COLUMNS+1)-1];
    wire signed [DATA-1:0] right_operand     [0:ROWS*(COLUMNS+1)-1];
    wire        [HOPS-1:0] right_hops        [0:ROWS*(COLUMNS+1)-1];

    generate
        for (c = 0; c < COLUMNS; c = c + 1) begin : edges
            assign down_weight_valid[c] = 1'b0;
            assign down_weight[c]       = {DATA{1'b0}};
            assign down_hops[c]         = {HOPS{1'b0}};
            assign down_sum_valid[c]    = 1'b0;
            assign down_sum[c]          = {SUM{1'b0}};
            assign sum_valid[c]         = down_sum_valid[ROWS*COLUMNS + c];
            assign sum[c*SUM +: SUM]    = down_sum[ROWS*COLUMNS + c];
        end
        for (r = 0; r < ROWS; r = r + 1) begin : grid_row
            wire at_entry = (entry == r);
            wire [OPERAND_WORD-1:0] entering = (r >= entry) ? late_operand[r - entry] : {OPERAND_WORD{1'b0}};
            assign {right_valid[r*(COLUMNS+1)], right_first[r*(COLUMNS+1)],
                    right_operand[r*(COLUMNS+1)], right_hops[r*(COLUMNS+1)]} = entering;
            for (c = 0; c < COLUMNS; c = c + 1) begin : grid_column
                localparam HERE = r*COLUMNS + c;
                localparam BELOW = HERE + COLUMNS;
                localparam AT = r*(COLUMNS+1) + c;
                wire                   weight_in_valid;
                wire signed [DATA-1:0] weight_in;
                wire        [HOPS-1:0] hops_in;
                assign {weight_in_valid, weight_in, hops_in} =
                    at_entry ? late_weight[c] : {down_weight_valid[HERE], down_weight[HERE], down_hops[HERE]};
                element #(.DOUBLE(DOUBLE), .DATA(DATA), .SUM(SUM), .HOPS(HOPS)) pe (
                    .clock(clock), .reset(reset),
                    .weight_valid(weight_in_valid), .weight(weight_in), .weight_hops(hops_in),
                    .weight_moves(down_weight_valid[BELOW]), .loaded(down_weight[BELOW]),
                    .loaded_hops(down_hops[BELOW]),
                    .sum_valid(at_entry ? right_valid[AT] : down_sum_valid[HERE]),
                    .sum(at_entry ? {SUM{1'b0}} : down_sum[HERE]),
                    .sum_out_valid(down_sum_valid[BELOW]), .sum_out(down_sum[BELOW]),
                    .operand_valid(right_valid[AT]), .first(right_first[AT]),
                    .operand(right_operand[AT]), .operand_hops(right_hops[AT]),
                    .operand_moves(right_valid[AT+1]), .first_out(right_first[AT+1]),
                    .operand_out(right_operand[AT+1]), .operand_out_hops(right_hops[AT+1])
                );
            end
        end
    endgenerate
endmodule


// A word, CYCLES cycles later.
module delay #(
    parameter WIDTH = 1,
    parameter CYCLES = 0
) (
    input  wire             clock,
    input  wire             reset,
    input  wire [WIDTH-1:0] in,
    output wire [WIDTH-1:0] out
);
    generate
        if (CYCLES == 0) begin : direct
            assign out = in;
        end else begin : line
            reg [WIDTH*CYCLES-1:0] words;
            assign out = words[WIDTH*CYCLES-1 -: WIDTH];
            always @(posedge clock) words <= reset ? {WIDTH*CYCLES{1'b0}} : {words, in};
        end
    endgenerate
endmodule

`default_nettype wire
