// Does the minimum of work that still shows that the dispatch has run.
@group(0) @binding(0) var<storage, read_write> count: array<u32>;

@compute @workgroup_size(1)
fn main() {
  count[0] += 1u;
}
