// Reads a whole buffer once; each thread sums the vectors that are `stride` apart.
@group(0) @binding(0) var<storage, read> data: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> sums: array<f32>; // one per thread

@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  let stride = groups.x * 256u;
  let count = arrayLength(&data);
  var sum = vec4f();
  var i = id.x;
  for (; i + 3u * stride < count; i += 4u * stride) {
    sum += data[i] + data[i + stride] + data[i + 2u * stride] + data[i + 3u * stride];
  }
  for (; i < count; i += stride) {
    sum += data[i];
  }
  sums[id.x] = sum.x + sum.y + sum.z + sum.w;
}
