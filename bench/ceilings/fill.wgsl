// Fills a buffer with small integers, so that their sums are exact.
@group(0) @binding(0) var<storage, read_write> data: array<vec4f>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  for (var i = id.x; i < arrayLength(&data); i += groups.x * 64u) {
    data[i] = vec4f(f32(i % 5u), 1.0, 2.0, f32(i % 3u));
  }
}
