// The third of four kernels that draw tokens by many workgroups: each token's probability, as a whole multiple of 2⁻³¹, and how many
// tokens with what mass each part of the vocabulary has in each bin. Workgroups: [parts, rows].
override VOCAB: u32;
override PART: u32; // tokens in a part

@group(0) @binding(0) var<storage, read> scores: array<f32>; // [rows, VOCAB]
@group(0) @binding(1) var<storage, read> sampled: array<SampledRow>; // [rows]
@group(0) @binding(2) var<storage, read_write> masses: array<u32>; // [rows, VOCAB]
@group(0) @binding(3) var<storage, read_write> bins: array<vec2u>; // [rows, parts, 256]: count, mass

var<workgroup> bin_counts: array<atomic<u32>, 256>;
var<workgroup> bin_masses: array<atomic<u32>, 256>;

@compute @workgroup_size(256)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = group.y;
  let of_row = sampled[row];
  if (of_row.drawn == 0u) {
    return;
  }
  atomicStore(&bin_counts[lane], 0u);
  atomicStore(&bin_masses[lane], 0u);
  workgroupBarrier();
  let end = min(VOCAB, (group.x + 1u) * PART);
  for (var v = group.x * PART + lane; v < end; v += 256u) {
    let score = scores[row * VOCAB + v];
    let key = sort_key(score);
    let kept = key >= of_row.least_key;
    let mass = select(0u, mass_of(score, of_row.scale), kept);
    masses[row * VOCAB + v] = mass;
    if (kept) {
      let bin = bin_of(of_row.peak_key - key);
      atomicAdd(&bin_counts[bin], 1u);
      atomicAdd(&bin_masses[bin], mass);
    }
  }
  workgroupBarrier();
  bins[(row * groups.x + group.x) * 256u + lane] = vec2u(atomicLoad(&bin_counts[lane]), atomicLoad(&bin_masses[lane]));
}
