// Feeds the waves of a GEMM to the array and prints every result: "out CYCLE COLUMN VALUE", then "done".
//
// Plusargs: +waves=N, +entry=ROW, +limit=CYCLES, and the files +shapes= (m, k, n of each wave), +a= (each wave's
// m x k operands, row by row) and +b= (each wave's k x n weights, row by row), hexadecimal words, in wave order.
// Cycle 0 is the one in which the first weight row enters.

`timescale 1ns / 1ns

module testbench;
    parameter ROWS = 4;
    parameter COLUMNS = 4;
    parameter DOUBLE = 1;
    localparam DATA = 16;
    localparam SUM = 48;
    localparam HOPS = 8;
    localparam MEMORY = 65536;
    localparam MOST_WAVES = 4096;

    reg [31:0]     shapes [0:3*MOST_WAVES-1];
    reg [DATA-1:0] a_memory [0:MEMORY-1];
    reg [DATA-1:0] b_memory [0:MEMORY-1];
    integer waves, entry_row, limit, wanted, index;
    reg [1023:0] path;

    reg clock = 0;
    reg reset = 1;
    integer cycle = 0;

    // Controller.  The array takes one weight row and one operand row a cycle.  A tile may load when a weight
    // register is free: with two of them once the wave before has begun to stream, with one once it has
    // entered whole.  A wave may stream once its tile has entered.
    integer tiles_entered = 0, load_row = 0, b_at = 0;
    integer waves_begun = 0, waves_entered = 0, stream_row = 0, a_at = 0;
    wire stream_begins = stream_row == 0 && waves_entered < waves && tiles_entered > waves_entered;
    wire streams = stream_row != 0 || stream_begins;
    wire register_free = DOUBLE ? waves_begun + stream_begins >= tiles_entered : waves_entered >= tiles_entered;
    wire loads = load_row != 0 || (tiles_entered < waves && register_free);

    wire [31:0] load_k = shapes[3*tiles_entered + 1];
    wire [31:0] load_n = shapes[3*tiles_entered + 2];
    wire [31:0] stream_m = shapes[3*waves_entered];
    wire [31:0] stream_k = shapes[3*waves_entered + 1];
    wire [31:0] stream_n = shapes[3*waves_entered + 2];

    // A tile's last row enters first: it has the longest way to go.  (Spelt out, since @* would watch every word
    // of the memories.)
    reg [COLUMNS-1:0]      weight_valid;
    reg [COLUMNS*DATA-1:0] weight;
    reg [ROWS-1:0]         operand_valid;
    reg [ROWS*DATA-1:0]    operand;
    integer w, x;
    always @(loads, load_row, load_k, load_n, b_at, streams, stream_row, stream_k, a_at) begin
        for (w = 0; w < COLUMNS; w = w + 1) begin
            weight_valid[w] = loads && w < load_n;
            weight[w*DATA +: DATA] = b_memory[b_at + (load_k - 1 - load_row)*load_n + w];
        end
        for (x = 0; x < ROWS; x = x + 1) begin
            operand_valid[x] = streams && x < stream_k;
            operand[x*DATA +: DATA] = a_memory[a_at + stream_row*stream_k + x];
        end
    end

    wire [HOPS-1:0] weight_hops = load_k - 1 - load_row;
    wire [HOPS-1:0] operand_hops = stream_n - 1;
    wire [HOPS-1:0] entry = entry_row;
    wire [COLUMNS-1:0]     sum_valid;
    wire [COLUMNS*SUM-1:0] sum;

    systolic_array #(
        .ROWS(ROWS), .COLUMNS(COLUMNS), .DOUBLE(DOUBLE), .DATA(DATA), .SUM(SUM), .HOPS(HOPS)
    ) dut (
        .clock(clock), .reset(reset), .entry(entry),
        .weight_valid(weight_valid), .weight(weight), .weight_hops(weight_hops),
        .operand_valid(operand_valid), .first(stream_begins), .operand(operand), .operand_hops(operand_hops),
        .sum_valid(sum_valid), .sum(sum)
    );

    always #5 clock = !clock;

    always @(posedge clock) if (!reset) begin
        cycle <= cycle + 1;
        if (loads) begin
            load_row <= (load_row + 1 == load_k) ? 0 : load_row + 1;
            if (load_row + 1 == load_k) begin
                tiles_entered <= tiles_entered + 1;
                b_at <= b_at + load_k*load_n;
            end
        end
        if (stream_begins) waves_begun <= waves_begun + 1;
        if (streams) begin
            stream_row <= (stream_row + 1 == stream_m) ? 0 : stream_row + 1;
            if (stream_row + 1 == stream_m) begin
                waves_entered <= waves_entered + 1;
                a_at <= a_at + stream_m*stream_k;
            end
        end
    end

    // A result register that is full in this cycle was written by the edge that ended the one before.
    integer o, seen = 0;
    always @(negedge clock) if (!reset) begin
        for (o = 0; o < COLUMNS; o = o + 1) if (sum_valid[o]) begin
            $display("out %0d %0d %0d", cycle - 1, o, $signed(sum[o*SUM +: SUM]));
            seen = seen + 1;
        end
        if (seen == wanted) begin
            $display("done");
            $finish;
        end
        if (cycle > limit) begin
            $display("timeout: %0d of %0d results", seen, wanted);
            $finish;
        end
    end

    initial begin
        if (!$value$plusargs("waves=%d", waves)) waves = 0;
        if (!$value$plusargs("entry=%d", entry_row)) entry_row = 0;
        if (!$value$plusargs("limit=%d", limit)) limit = 0;
        if ($value$plusargs("shapes=%s", path)) $readmemh(path, shapes, 0, 3*waves - 1);
        wanted = 0;
        for (index = 0; index < waves; index = index + 1)
            wanted = wanted + shapes[3*index]*shapes[3*index + 2];
        if ($value$plusargs("a=%s", path)) $readmemh(path, a_memory);
        if ($value$plusargs("b=%s", path)) $readmemh(path, b_memory);
        @(negedge clock) @(negedge clock) reset = 0;
    end
endmodule
