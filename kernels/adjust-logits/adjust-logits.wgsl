// Logits as sampling takes them where a row asks for it: bias of single tokens → repetition penalty → frequency and presence penalty
// over the tokens of its text (SPEC §4). Other rows are copied, bit for bit. Workgroups: [parts, rows].
override VOCAB: u32;
override PART: u32; // tokens in a part
override MOST_BIASES: u32;

struct Adjustment {
  repetition: f32, // 1: off
  presence: f32, // 0: off
  frequency: f32, // 0: off
  biases: u32, // how many there are
}

struct Bias {
  token: u32, // no token occurs twice
  value: f32,
}

@group(0) @binding(0) var<uniform> run: Run;
@group(0) @binding(1) var<storage, read> adjustments: array<Adjustment>; // [rows]
@group(0) @binding(2) var<storage, read> biases: array<Bias>; // [rows, MOST_BIASES]
@group(0) @binding(3) var<storage, read> logits: array<f32>; // [rows, VOCAB]
@group(0) @binding(4) var<storage, read> counts: array<u32>; // [slots, VOCAB]
@group(0) @binding(5) var<storage, read> bases: array<u32>; // [rows, VOCAB]: the counts when the text began
@group(0) @binding(6) var<storage, read_write> adjusted: array<f32>; // [rows, VOCAB]

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = group.y;
  let adjustment = adjustments[row];
  let first = group.x * PART;
  let end = min(VOCAB, first + PART);
  for (var v = first + lane; v < end; v += 64u) {
    adjusted[row * VOCAB + v] = after_penalties(logits[row * VOCAB + v], v, row, adjustment);
  }
  storageBarrier();
  for (var i = lane; i < adjustment.biases; i += 64u) {
    let bias = biases[row * MOST_BIASES + i];
    if (bias.token >= first && bias.token < end) {
      let biased = logits[row * VOCAB + bias.token] + bias.value;
      adjusted[row * VOCAB + bias.token] = after_penalties(biased, bias.token, row, adjustment);
    }
  }
}

fn after_penalties(logit: f32, v: u32, row: u32, adjustment: Adjustment) -> f32 {
  let count = counts[run.streams[row].slot * VOCAB + v];
  var score = logit;
  if (adjustment.repetition != 1.0 && count != 0u) {
    score = penalised(score, adjustment.repetition);
  }
  if (adjustment.presence == 0.0 && adjustment.frequency == 0.0) {
    return score; // a row without these has no bases
  }
  let generated = count - bases[row * VOCAB + v];
  if (generated > 0u) {
    score -= sealed(adjustment.frequency * f32(generated), SEAL) + adjustment.presence;
  }
  return score;
}
