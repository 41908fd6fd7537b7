// The second of four kernels that draw tokens by many workgroups: the peak, the temperature and the sum of e^(score/T). Greedy rows
// get their token here. Workgroups: [rows].
override VOCAB: u32;
override PARTS: u32;

@group(0) @binding(0) var<uniform> run: Run;
@group(0) @binding(1) var<storage, read> schedule: Schedule;
@group(0) @binding(2) var<storage, read> sampling: array<Sampling>; // [rows]
@group(0) @binding(3) var<storage, read> metrics: array<vec4f>; // [steps, rows, LAYERS]: R first
@group(0) @binding(4) var<storage, read> parts: array<Best>; // [rows, PARTS]
@group(0) @binding(5) var<storage, read> scores: array<f32>; // [rows, VOCAB]
@group(0) @binding(6) var<storage, read_write> sampled: array<SampledRow>; // [rows]
@group(0) @binding(7) var<storage, read_write> tokens: array<u32>; // [rows]: fed next
@group(0) @binding(8) var<storage, read_write> results: array<u32>; // [steps, rows]; NOT_FINITE where logits or probabilities are not

var<private> row: u32 = 0u;
var<private> scale: Scale = Scale();

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  row = group.x;
  var best = Best(0.0, NO_TOKEN, 0u);
  for (var part = lane; part < PARTS; part += 256u) {
    best = better(best, parts[group.x * PARTS + part]);
  }
  find_best(best, lane);
  workgroupBarrier();
  best = bests[0];

  let step = schedule.step;
  let setting = sampling[group.x];
  let temperature = temperature_of(setting, group.x, step);
  var failed = best.broken != 0u || !is_finite(temperature);
  if (temperature < LEAST_NORMAL) {
    if (lane == 0u) {
      publish(row, step, select(best.token, NOT_FINITE, failed));
      sampled[row] = SampledRow(scale, 0u, 0u, 0u, 0u);
    }
    return;
  }

  scale = scale_of(best.value, temperature);
  scale.inverse_sum = 1.0 / strided_sum(lane);
  if (lane == 0u) {
    failed = failed || !is_finite(scale.inverse_sum);
    if (failed) {
      publish(row, step, NOT_FINITE);
    }
    let key = sort_key(best.value);
    // 0 and −0 are equal values, but not equal keys.
    let peak_key = select(key, key + 1u, key == 0x7FFFFFFFu);
    sampled[row] = SampledRow(scale, best.token, peak_key, select(1u, 0u, failed), least_key(setting, best.value, temperature));
  }
}

fn input(v: u32) -> f32 {
  return scores[row * VOCAB + v];
}

fn term(score: f32) -> f32 {
  return weight_of(score, scale);
}
